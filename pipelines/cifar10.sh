#!/usr/bin/env bash
# CIFAR-10, 60,000 pictures of 10 classes (paper Sec. IV-B, Table II):
# k = 10 and 2, top-10, five units, SGD at 0.01.
#
#   DATA=/path/to/cifar10 pipelines/cifar10.sh  # Parquet with embedded pictures
#   DATA=... BACKBONE=mobilenet_v2 STEM=cifar EPOCHS=60 pipelines/cifar10.sh
#   DATA=/path/to/cifar-10-batches LAYOUT=cifar-binary pipelines/cifar10.sh
#
# EPOCHS is the baseline's. VECTORS is a name or a file of word vectors. The rest: common.sh.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_data cifar10

backbone=${BACKBONE:-resnet18}
graph=cifar10-$backbone
if [[ ${STEM:-imagenet} != imagenet ]]; then
  graph+=-$STEM
fi
baseline=(--backbone "$backbone" --stem "${STEM:-imagenet}" --epochs "${EPOCHS:-30}"
  --batch-size 128 --lr 0.01 --schedule cosine --set "data.layout=${LAYOUT:-image-parquet}")
if [[ ${FAST:-0} == 1 ]]; then
  fast_extract+=(--limit 20)
fi

rrnet extract cifar10 --data "$DATA" "${baseline[@]}" --name "$graph" \
  --word-vectors "${VECTORS:-glove-6b-50d}" "${fast_extract[@]}"
rrnet build-graph "$graph" --k-intra 10 --k-intra-right 2 --k-inter 10
for preset in "${presets[@]}"; do
  use_preset "$preset" --units intra,inter,intra,inter,inter --hidden 16 \
    --optimizer sgd --lr 0.01 --momentum 0.9 --weight-decay 5e-4
  rrnet train "$graph" --preset "$preset" "${rates[@]}" "${fast_train[@]}"
  keep_as "$graph-$preset"
  rrnet eval "$graph-$preset" --name "$graph-$preset" "${keep[@]}"
done
