#!/usr/bin/env bash
# CIFAR-100, 60,000 pictures of 100 classes (paper Sec. IV-B, Table II):
# k = 20 and 3, top-15, five units, SGD at 0.01.
#
#   DATA=/path/to/cifar100 pipelines/cifar100.sh  # Parquet with embedded pictures
#   DATA=... BACKBONE=mobilenet_v2 STEM=cifar EPOCHS=60 pipelines/cifar100.sh
#   DATA=/path/to/cifar-100-batches LAYOUT=cifar-binary pipelines/cifar100.sh
#
# EPOCHS is the baseline's. VECTORS is a name or a file of word vectors. The rest: common.sh.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need_data cifar100

backbone=${BACKBONE:-resnet18}
graph=cifar100-$backbone
if [[ ${STEM:-imagenet} != imagenet ]]; then
  graph+=-$STEM
fi
baseline=(--backbone "$backbone" --stem "${STEM:-imagenet}" --epochs "${EPOCHS:-30}"
  --batch-size 128 --lr 0.01 --schedule cosine --set "data.layout=${LAYOUT:-image-parquet}")
if [[ ${FAST:-0} == 1 ]]; then
  fast_extract+=(--limit 4)
fi

rrnet extract cifar100 --data "$DATA" "${baseline[@]}" --name "$graph" \
  --word-vectors "${VECTORS:-glove-6b-50d}" "${fast_extract[@]}"
rrnet build-graph "$graph" --k-intra 20 --k-intra-right 3 --k-inter 15
for preset in "${presets[@]}"; do
  use_preset "$preset" --units intra,inter,intra,inter,inter --hidden 16 \
    --optimizer sgd --lr 0.01 --momentum 0.9 --weight-decay 5e-4
  rrnet train "$graph" --preset "$preset" "${rates[@]}" "${fast_train[@]}"
  keep_as "$graph-$preset"
  rrnet eval "$graph-$preset" --name "$graph-$preset" "${keep[@]}"
done
