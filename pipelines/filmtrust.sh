#!/usr/bin/env bash
# FilmTrust (paper Sec. IV-C, Table IV): users linked by trust,
# every user with every item, five units, SGD at 0.01, 500 epochs.
#
#   DATA=/path/to/filmtrust pipelines/filmtrust.sh
#
# SEEDS are those of the random 80/10/10 split. See common.sh for the other variables.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_data filmtrust

read -ra seeds <<<"${SEEDS:-0 1 2 3 4}"
inter=all
if [[ ${FAST:-0} == 1 ]]; then
  inter=rated
fi

for seed in "${seeds[@]}"; do
  graph=filmtrust-seed$seed
  rrnet extract filmtrust --data "$DATA" --split-seed "$seed" --seed "$seed" \
    --name "$graph"
  rrnet build-graph "$graph" --intra links --k-intra-right 0 --inter "$inter"
  for preset in "${presets[@]}"; do
    use_preset "$preset" --optimizer sgd --lr 0.01 --momentum 0.9 --weight-decay 5e-4 --epochs 500
    rrnet train "$graph" --preset "$preset" --units intra,inter,intra,inter,inter --hidden 16 \
      --seed "$seed" "${rates[@]}" "${fast_train[@]}"
  done
done

for preset in "${presets[@]}"; do
  models=()
  for seed in "${seeds[@]}"; do
    models+=("filmtrust-seed$seed-$preset")
  done
  keep_as "filmtrust-$preset"
  rrnet eval "${models[@]}" --name "filmtrust-$preset" "${keep[@]}"
done
