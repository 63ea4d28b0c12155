"""Exact k nearest neighbours by blocked matrix products (intra-edges, paper Sec. III-B2).

A block of rows is scored against all nodes, whatever the scores leave in doubt is measured again
in float64, and ties go to the lower id: the result depends neither on the block size nor on the
number of threads. Memory is bounded by the block, time is that of the matrix product.

`screening` does so with scores in bfloat16 and kernels compiled by numba. Where numba does not
work, torch takes the best float32 scores, and `MARGIN` more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.graphs.edges import EdgeTable
from rrnet_cli.graphs.keys import Keys, Metric
from rrnet_cli.progress import Reporter, SilentReporter

BLOCK_BYTES = 256 * 2**20
"""Size of one block of scores; the whole search needs about twice this beyond the features."""

MARGIN = 8
"""Candidates kept beyond k: float32 rounding near the k-th place cannot cost a neighbour."""


@dataclass(frozen=True)
class Neighbours:
    """Neighbour lists of all nodes, nearest first.

    Attributes:
        index: (num_nodes, k) int64.
        similarity: (num_nodes, k) float32: the cosine, or 1 / (1 + distance) for ``l2``.
    """

    index: NDArray[np.int64]
    similarity: NDArray[np.float32]

    def to_edges(self) -> EdgeTable:
        """Intra-edges: the neighbour sends, the node whose list it is receives."""
        num_nodes, k = self.index.shape
        dst = np.repeat(np.arange(num_nodes, dtype=np.int64), k)
        return EdgeTable.build(self.index.ravel(), dst, weight=self.similarity.ravel())


def nearest_neighbours(
    features: Tensor,
    k: int,
    *,
    metric: Metric = "cosine",
    modality: str = "node",
    block_bytes: int = BLOCK_BYTES,
    reporter: Reporter | None = None,
) -> Neighbours:
    """The `k` nearest other nodes of every node, exactly; equally near: the lower id.

    Nearness is measured in float64 and compared as the float32 that is stored: of two nodes that
    differ by less than that, the lower id wins.

    Args:
        features: (num_nodes, dim) float32.
        k: Neighbours a node; clamped to num_nodes - 1 with a note.
        metric: ``cosine`` (a zero vector is 0 similar to all, counted in a note) or ``l2``.
        modality: Node type, for messages.
        block_bytes: Bound of one block of scores.
        reporter: Told of progress, in rows.

    Raises:
        ConfigError: `k` is below 1.
        InputError: The features are not a matrix, or hold NaN or Inf (names the first row).
    """
    reporter = reporter or SilentReporter()
    features, k = prepare(features, k, metric, modality, reporter)
    num_nodes = len(features)
    if k == 0:
        empty = np.empty((num_nodes, 0))
        return Neighbours(empty.astype(np.int64), empty.astype(np.float32))
    keys = Keys(features, metric)
    index, similarity = torch.empty(num_nodes, k, dtype=torch.int64), torch.empty(num_nodes, k)
    with reporter.task(f"neighbours of {modality}", num_nodes, unit="rows") as task:
        for rows, near, nearness in search_rows(keys, torch.arange(num_nodes), k, block_bytes):
            index[rows], similarity[rows] = near, nearness
            task.advance(len(rows))
    return Neighbours(index.numpy(), similarity.numpy())


def prepare(
    features: Tensor, k: int, metric: Metric, modality: str, reporter: Reporter
) -> tuple[Tensor, int]:
    """Check what is to be searched, and note what is particular about it.

    Returns:
        The features as float32, and `k` clamped to what there is (0: nobody has a neighbour).

    Raises:
        ConfigError: `k` is below 1.
        InputError: As `check_features` has it.
    """
    if k < 1:
        raise ConfigError(f"k of {modality} neighbours must be at least 1, not {k}")
    check_features(features, modality)
    features = features.to(torch.float32)
    num_nodes = len(features)
    if k >= num_nodes:
        reporter.note(
            f"{modality}: k = {k} clamped to {max(num_nodes - 1, 0)}, there are {num_nodes} nodes"
        )
        k = max(num_nodes - 1, 0)
    if k and metric == "cosine" and (zeros := int((features == 0).all(dim=1).sum())):
        reporter.note(f"{modality}: {zeros} zero vectors are given cosine 0 to every node")
    return features, k


def check_features(features: Tensor, modality: str) -> None:
    """Check that a feature matrix can be compared.

    Raises:
        InputError: Not a matrix with columns, or NaN or Inf in it; names modality and first row.
    """
    if features.ndim != 2 or features.shape[1] == 0:
        raise InputError(
            f"features of {modality} have shape {tuple(features.shape)}, not (nodes, dim)"
        )
    # A sum over float32 rows could overflow; the minimum and maximum of a row cannot.
    if len(features) and not torch.isfinite(torch.stack(torch.aminmax(features))).all():
        row = int((~torch.isfinite(features)).any(dim=1).to(torch.int8).argmax())
        raise InputError(
            f"features of {modality}, row {row}: NaN or Inf", "Extract the features again."
        )


def search_rows(
    keys: Keys, rows: Tensor, k: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Search the `k` nearest other nodes of some nodes exactly, a block at a time.

    Args:
        keys: All nodes.
        rows: (num_rows,) int64, whose neighbours are wanted.
        k: From 1 to num_nodes - 1.
        block_bytes: Bound of one block of scores.

    Yields:
        Rows of one block (size,), their neighbours (size, k) int64 and similarities float32.
    """
    if not len(rows):
        return
    num_nodes = len(keys)
    size = max(1, min(len(rows), block_bytes // (4 * num_nodes)))
    screening = load_screening()
    if screening is not None:
        yield from screening.search_screened(keys, rows, k, size)
        return
    candidates = min(k + MARGIN, num_nodes - 1)
    scores = torch.empty(size, num_nodes)
    for block in rows.split(size):
        block_scores = keys.score(block, out=scores[: len(block)])
        block_scores[torch.arange(len(block)), block] = -torch.inf
        yield block, *keys.nearest(block, select_highest(block_scores, candidates), k)


def load_screening() -> ModuleType | None:
    """The module `screening`; None where numba does not work."""
    try:
        from rrnet_cli.graphs import screening
    except (ImportError, RuntimeError, OSError, AttributeError):
        # No place for compiled code is a RuntimeError, LLVM's library that cannot be loaded an
        # OSError, another version's internals an AttributeError.
        return None
    return screening


def select_highest(scores: Tensor, count: int) -> Tensor:
    """Columns of the `count` highest scores of each row, ascending; equal scores: lower columns.

    Args:
        scores: (num_rows, num_columns) float32 without NaN.
        count: Below num_columns.

    Returns:
        (num_rows, count) int64. `torch.topk` alone leaves open which of equal scores it takes.
    """
    values, index = scores.topk(count + 1, dim=1)
    index = index[:, :count].sort(dim=1).values
    tied = (values[:, count - 1] == values[:, count]).nonzero().squeeze(1)
    for rows in tied.split(64):
        last = values[rows, count - 1].unsqueeze(1)
        above = scores[rows] > last
        level = scores[rows] == last
        room = count - above.sum(dim=1, keepdim=True)
        taken = above | (level & (level.cumsum(dim=1, dtype=torch.int32) <= room))
        index[rows] = taken.nonzero()[:, 1].view(len(rows), count)
    return index
