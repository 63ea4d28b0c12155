#!/usr/bin/env bash
# The four stages on scikit-learn's digits: embedded, nothing to download, under three minutes.
#
#   pipelines/quickstart.sh
#
# See common.sh for ARTIFACTS, RESULTS, PRESETS, FAST and RRNET.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ ${FAST:-0} == 1 ]]; then
  fast_extract=(--limit 8)
fi

rrnet extract digits --backbone pixels --name digits-pixels "${fast_extract[@]}"
rrnet build-graph digits-pixels --k-intra 10 --k-intra-right 2 --k-inter 10
for preset in "${presets[@]}"; do
  use_preset "$preset" --units intra,inter --hidden 16 \
    --optimizer sgd --lr 0.01 --momentum 0.9 --weight-decay 5e-4
  rrnet train digits-pixels --preset "$preset" --epochs 150 "${rates[@]}" "${fast_train[@]}"
  keep_as "digits-pixels-$preset"
  rrnet eval "digits-pixels-$preset" --name "digits-pixels-$preset" "${keep[@]}"
done
