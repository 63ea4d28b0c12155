#!/usr/bin/env bash
# Ciao (paper Sec. IV-C, Table IV): users linked by trust,
# users with the items they rated, five units, SGD at 0.01, 500 epochs.
#
#   DATA=/path/to/ciao pipelines/ciao.sh
#   DATA=... BACKBONE=rating-factors PRESETS=plus pipelines/ciao.sh  # SVD++ as the baseline
#
# SEEDS are those of the random 80/10/10 split. See common.sh for the other variables.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_data ciao

read -ra seeds <<<"${SEEDS:-0 1 2}"
backbone=${BACKBONE:-rating-bias}
base=ciao
if [[ $backbone == rating-factors ]]; then
  base=ciao-factors
fi

for seed in "${seeds[@]}"; do
  graph=$base-seed$seed
  rrnet extract ciao --data "$DATA" --backbone "$backbone" --split-seed "$seed" --seed "$seed" \
    --name "$graph"
  rrnet build-graph "$graph" --intra links --k-intra-right 0 --inter rated
  for preset in "${presets[@]}"; do
    use_preset "$preset" --units intra,inter,intra,inter,inter --hidden 16 \
      --optimizer sgd --lr 0.01 --momentum 0.9 --weight-decay 5e-4 --epochs 500
    rrnet train "$graph" --preset "$preset" --seed "$seed" "${rates[@]}" "${fast_train[@]}"
  done
done

for preset in "${presets[@]}"; do
  models=()
  for seed in "${seeds[@]}"; do
    models+=("$base-seed$seed-$preset")
  done
  keep_as "$base-$preset"
  rrnet eval "${models[@]}" --name "$base-$preset" "${keep[@]}"
done
