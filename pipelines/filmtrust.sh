#!/usr/bin/env bash
# FilmTrust (paper Sec. IV-C, Table IV): users linked by trust, every user with every item (`paper`;
# `plus` reads the ratings themselves, so its inter-edges are the rated pairs), five units, SGD at
# 0.01, at most 500 epochs: 60 without a better RMSE on validation end a run, whose best is kept.
#
#   DATA=/path/to/filmtrust pipelines/filmtrust.sh
#   DATA=... BACKBONE=rating-factors PRESETS=plus pipelines/filmtrust.sh  # SVD++ as the baseline
#
# SEEDS are those of the random 80/10/10 split. See common.sh for the other variables.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_data filmtrust

read -ra seeds <<<"${SEEDS:-0 1 2 3 4}"
backbone=${BACKBONE:-rating-bias}
base=filmtrust
if [[ $backbone == rating-factors ]]; then
  base=filmtrust-factors
fi
paper_inter=all
if [[ ${FAST:-0} == 1 ]]; then
  paper_inter=rated
fi

for seed in "${seeds[@]}"; do
  graph=$base-seed$seed
  rrnet extract filmtrust --data "$DATA" --backbone "$backbone" --split-seed "$seed" --seed "$seed" \
    --name "$graph"
  for preset in "${presets[@]}"; do
    if [[ $preset == paper ]]; then inter=$paper_inter; else inter=rated; fi
    rrnet build-graph "$graph" --intra links --k-intra-right 0 --inter "$inter" --name "$graph-$inter"
    use_preset "$preset" --units intra,inter,intra,inter,inter --hidden 16 \
      --optimizer sgd --lr 0.01 --momentum 0.9 --weight-decay 5e-4 --epochs 500 --patience 60
    rrnet train "$graph-$inter" --preset "$preset" --seed "$seed" --name "$graph-$preset" \
      "${rates[@]}" "${fast_train[@]}"
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
