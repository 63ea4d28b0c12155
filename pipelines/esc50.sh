#!/usr/bin/env bash
# ESC-50, 2,000 sounds of 50 classes (paper Sec. IV-A, Table I):
# leave one fold out, k = 10 and 2, top-20, two units, SGD at 0.1.
#
#   DATA=/path/to/ESC-50 pipelines/esc50.sh                     # log-mel, all five folds
#   DATA=/path/to/ESC-50 BACKBONE=envnet FOLDS=1 pipelines/esc50.sh  # EnvNet, or envnet_v2, m18
#
# EPOCHS is the baseline's (600, EnvNet-v2 1000, as published: a day or more a fold on a CPU).
# VECTORS is a name or a file of word vectors. See common.sh for the other variables.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_data ESC-50

backbone=${BACKBONE:-logmel}
read -ra folds <<<"${FOLDS:-1 2 3 4 5}"
baseline=(--backbone "$backbone")
if [[ $backbone == envnet_v2 ]]; then
  baseline+=(--epochs "${EPOCHS:-1000}" --batch-size 64 --lr 0.1 --schedule warmup)
fi
if [[ $backbone == envnet || $backbone == m18 ]]; then
  baseline+=(--epochs "${EPOCHS:-600}" --batch-size 64 --lr 0.01 --schedule step)
fi
if [[ ${FAST:-0} == 1 ]]; then
  fast_extract+=(--limit 6)
fi

for fold in "${folds[@]}"; do
  graph=esc50-$backbone-fold$fold
  rrnet extract esc50 --data "$DATA" --fold "$fold" "${baseline[@]}" --name "$graph" \
    --word-vectors "${VECTORS:-glove-6b-50d}" "${fast_extract[@]}"
  rrnet build-graph "$graph" --k-intra 10 --k-intra-right 2 --k-inter 20
  for preset in "${presets[@]}"; do
    use_preset "$preset" --optimizer sgd --lr 0.1 --momentum 0.9 --weight-decay 5e-4
    rrnet train "$graph" --preset "$preset" --units intra,inter --hidden 16 "${rates[@]}" \
      "${fast_train[@]}"
  done
done

for preset in "${presets[@]}"; do
  models=()
  for fold in "${folds[@]}"; do
    models+=("esc50-$backbone-fold$fold-$preset")
  done
  keep_as "esc50-$backbone-$preset"
  rrnet eval "${models[@]}" --name "esc50-$backbone-$preset" "${keep[@]}"
done
