#!/usr/bin/env bash
# ESC-10, 400 sounds of 10 classes (paper Sec. IV-A, Table I):
# leave one fold out, k = 5 and 2, top-10, two units, SGD at 0.01.
#
#   DATA=/path/to/ESC-50 pipelines/esc10.sh                     # log-mel, all five folds
#   DATA=/path/to/ESC-50 BACKBONE=envnet FOLDS=1 pipelines/esc10.sh  # EnvNet, or envnet_v2, m18
#
# EPOCHS is the baseline's (600, as EnvNet's was published: hours a fold on a CPU).
# VECTORS is a name or a file of word vectors. See common.sh for the other variables.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_data ESC-50

backbone=${BACKBONE:-logmel}
read -ra folds <<<"${FOLDS:-1 2 3 4 5}"
baseline=(--backbone "$backbone")
if [[ $backbone == envnet || $backbone == envnet_v2 || $backbone == m18 ]]; then
  baseline+=(--epochs "${EPOCHS:-600}" --batch-size 64 --lr 0.01 --schedule step)
fi
if [[ ${FAST:-0} == 1 ]]; then
  fast_extract+=(--limit 6)
fi

for fold in "${folds[@]}"; do
  graph=esc10-$backbone-fold$fold
  rrnet extract esc10 --data "$DATA" --fold "$fold" "${baseline[@]}" --name "$graph" \
    --word-vectors "${VECTORS:-glove-6b-50d}" "${fast_extract[@]}"
  rrnet build-graph "$graph" --k-intra 5 --k-intra-right 2 --k-inter 10
  for preset in "${presets[@]}"; do
    use_preset "$preset" --optimizer sgd --lr 0.01 --momentum 0.9 --weight-decay 5e-4
    rrnet train "$graph" --preset "$preset" --units intra,inter --hidden 16 "${rates[@]}" \
      "${fast_train[@]}"
  done
done

for preset in "${presets[@]}"; do
  models=()
  for fold in "${folds[@]}"; do
    models+=("esc10-$backbone-fold$fold-$preset")
  done
  keep_as "esc10-$backbone-$preset"
  rrnet eval "${models[@]}" --name "esc10-$backbone-$preset" "${keep[@]}"
done
