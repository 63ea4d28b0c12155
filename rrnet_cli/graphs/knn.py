"""Exact k nearest neighbours by blocked matrix products (intra-edges, paper Sec. III-B2).

A block of rows is scored against all nodes in float32, its best candidates are measured again in
float64, and ties go to the lower id: the result depends neither on the block size nor on the number
of threads. Memory is bounded by the block, time is that of the matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.graphs.edges import EdgeTable
from rrnet_cli.progress import Reporter, SilentReporter

Metric = Literal["cosine", "l2"]

BLOCK_BYTES = 256 * 2**20
"""Size of one block of scores; the whole search needs about twice this beyond the features."""

_REFINE_BYTES = 16 * 2**20
"""Size of one piece of candidates in float64: small for the cache, large for the threads."""

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
    num_nodes = len(keys)
    candidates = min(k + MARGIN, num_nodes - 1)
    size = max(1, min(len(rows), block_bytes // (4 * num_nodes)))
    scores = torch.empty(size, num_nodes)
    for block in rows.split(size):
        block_scores = keys.score(block, out=scores[: len(block)])
        block_scores[torch.arange(len(block)), block] = -torch.inf
        yield block, *keys.nearest(block, select_highest(block_scores, candidates), k)


class Keys:
    """Nodes prepared so that one matrix product ranks them: a higher score is nearer.

    Attributes:
        points: (num_nodes, dim) float32: of length 1 (or 0) for ``cosine``, centred and scaled for
            ``l2``, so that products and distances of them order as those of the features do.
    """

    def __init__(self, features: Tensor, metric: Metric) -> None:
        self._features = features
        self._squares: Tensor | None = None
        norms = torch.linalg.vector_norm(features, dim=1, dtype=torch.float64)
        self._norms = norms.masked_fill(norms == 0, 1.0)
        if metric == "cosine":
            self.points = _divide(features, self._norms.unsqueeze(1))
        else:
            # Distances do not change under a shift, and their order not under a scale; centred
            # and scaled, |a|^2 + |b|^2 - 2ab neither cancels nor overflows.
            centred = features.double().sub_(features.mean(dim=0, dtype=torch.float64))
            scale = torch.stack(torch.aminmax(centred)).abs().amax()
            self.points = centred.div_(scale.clamp_min(torch.finfo(torch.float64).tiny)).float()
            self._squares = self.points.square().sum(dim=1)

    def __len__(self) -> int:
        return len(self._features)

    def score(self, rows: Tensor, out: Tensor) -> Tensor:
        """Scores (num_rows, num_nodes) float32 into `out`."""
        if self._squares is None:
            return torch.mm(self.points[rows], self.points.T, out=out)
        # -|a - b|^2 without |a|^2, which is the same all along a row.
        return torch.addmm(-self._squares, self.points[rows], self.points.T, alpha=2, out=out)

    def nearest(self, rows: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Measure candidates (ascending ids) in float64 and keep the `k` nearest, nearest first.

        Every sum runs over one candidate's own row, so equal vectors get equal bits.

        Args:
            rows: (num_rows,) int64.
            candidates: (num_rows, at least k) int64, ascending in a row.
            k: How many to keep.

        Returns:
            Ids (num_rows, k) int64 and similarities (num_rows, k) float32.
        """
        size = max(1, _REFINE_BYTES // (8 * candidates.shape[1] * self._features.shape[1]))
        parts = zip(rows.split(size), candidates.split(size), strict=True)
        index, similarity = zip(*(self._measure(*part, k) for part in parts), strict=True)
        return torch.cat(index), torch.cat(similarity)

    def _measure(self, rows: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
        here = self._features[rows].double().unsqueeze(1)
        near = self._features[candidates].double()
        if self._squares is None:
            lengths = self._norms[rows].unsqueeze(1) * self._norms[candidates]
            cosine = near.mul_(here).sum(dim=2) / lengths
            similarity = cosine.clamp(-1.0, 1.0).float()
            key = -similarity
        else:
            distance = torch.linalg.vector_norm(near.sub_(here), dim=2)
            similarity = (1.0 / (1.0 + distance)).float()
            key = distance.float()
        order = key.argsort(dim=1, stable=True)[:, :k]
        return candidates.gather(1, order), similarity.gather(1, order)


def _divide(features: Tensor, norms: Tensor) -> Tensor:
    """Rows over their norms, in float64 a piece at a time: no second copy of double width."""
    points = torch.empty_like(features)
    for start in range(0, len(features), 8192):
        piece = slice(start, start + 8192)
        points[piece] = features[piece].double() / norms[piece]
    return points


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
