"""Cosines of all instances to the fitted ones, a bounded block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rrnet_cli.evaluation.peers.base import ClassData
from rrnet_cli.evaluation.peers.class_rows import fitted_rows
from rrnet_cli.graphs.knn import check_features

BLOCK_BYTES = 256 * 2**20
"""Size of one block of cosines."""


def cosine_blocks(
    data: ClassData, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows and their cosines to FIT, `-inf` where an instance meets itself.

    So the answer for a fitted instance leaves its own label out. A zero vector has cosine 0 to all.
    The block's memory is used again for the next.

    Yields:
        A slice of rows and (num_rows, num_fit) float32.

    Raises:
        InputError: FIT is of fewer than two classes, or a feature is NaN or Inf.
    """
    features = torch.from_numpy(data.features)
    check_features(features, "instances")
    fitted = torch.from_numpy(fitted_rows(data))
    points = torch.nn.functional.normalize(features, dim=1)
    keys = points[fitted].T
    size = max(1, min(len(points), block_bytes // (4 * len(fitted))))
    buffer = torch.empty(size, len(fitted))
    for start in range(0, len(points), size):
        rows = slice(start, min(start + size, len(points)))
        block = torch.mm(points[rows], keys, out=buffer[: rows.stop - start])
        mine = ((fitted >= start) & (fitted < rows.stop)).nonzero().squeeze(1)
        block[fitted[mine] - start, mine] = -torch.inf
        yield rows, block
