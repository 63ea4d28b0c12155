"""Nodes prepared for a search of neighbours, and what near means: measured in float64."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Metric = Literal["cosine", "l2"]

LANES = 32
"""Partial sums of a float64 sum."""

_REFINE_BYTES = 16 * 2**20
"""Size of one piece of candidates in float64: small for the cache, large for the threads."""

_PIECE_ROWS = 1024


class Keys:
    """Nodes of which neighbours are searched.

    Attributes:
        features: (num_nodes, dim) float32, contiguous.
        metric: What is near.
        norms: (num_nodes,) float64, the lengths of the features.
        unit: By what a distance of features becomes one of points; 1 for ``cosine``.
    """

    def __init__(self, features: Tensor, metric: Metric) -> None:
        self.features = features.contiguous()
        self.metric: Metric = metric
        self.norms = torch.linalg.vector_norm(features, dim=1, dtype=torch.float64)
        self._lengths = self.norms.masked_fill(self.norms == 0, 1.0)
        self.unit = 1.0
        if metric == "l2":
            self._centre = features.mean(dim=0, dtype=torch.float64)
            scale = max(float(points.abs().amax()) for _, points in self.pieces())
            self.unit = 1.0 / max(scale, torch.finfo(torch.float64).tiny)

    def __len__(self) -> int:
        return len(self.features)

    def pieces(self) -> Iterator[tuple[slice, Tensor]]:
        """The points (rows, dim) in float64, some rows at a time, and which rows.

        They are of length 1 (or 0) for ``cosine``, centred and scaled for ``l2``: distances do not
        change under a shift, and their order not under a scale; centred and scaled, their squares
        neither cancel nor overflow.
        """
        for start in range(0, len(self), _PIECE_ROWS):
            rows = slice(start, min(start + _PIECE_ROWS, len(self)))
            points = self.features[rows].double()
            if self.metric == "cosine":
                yield rows, points.div_(self._lengths[rows].unsqueeze(1))
            else:
                yield rows, points.sub_(self._centre).mul_(self.unit)

    @cached_property
    def points(self) -> Tensor:
        """(num_nodes, dim) float32: products or distances of them order as the features' do."""
        points = torch.empty_like(self.features)
        for rows, piece in self.pieces():
            points[rows] = piece
        return points

    @cached_property
    def _squares(self) -> Tensor:
        return self.points.square().sum(dim=1)

    def score(self, rows: Tensor, out: Tensor) -> Tensor:
        """Scores (num_rows, num_nodes) float32 into `out`: a higher one is nearer."""
        if self.metric == "cosine":
            return torch.mm(self.points[rows], self.points.T, out=out)
        # -|a - b|^2 without |a|^2, which is the same all along a row.
        return torch.addmm(-self._squares, self.points[rows], self.points.T, alpha=2, out=out)

    def nearest(self, rows: Tensor, candidates: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Measure candidates (ascending ids) in float64 and keep the `k` nearest, nearest first.

        Args:
            rows: (num_rows,) int64.
            candidates: (num_rows, at least k) int64, ascending in a row.
            k: How many to keep.

        Returns:
            Ids (num_rows, k) int64 and similarities (num_rows, k) float32.
        """
        key, similarity = self.compare(rows, candidates)
        order = key.argsort(dim=1, stable=True)[:, :k]
        return candidates.gather(1, order), similarity.gather(1, order)

    def compare(self, rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Measure how near some nodes are, in float64.

        Every sum runs over one node's own row in a fixed order, so equal vectors get equal bits.

        Args:
            rows: (num_rows,) int64.
            others: (num_rows, count) int64, what each is compared with.

        Returns:
            Keys of nearness, a lower one is nearer, and similarities: (num_rows, count) float32.
        """
        size = max(1, _REFINE_BYTES // (8 * max(others.shape[1], 1) * self.features.shape[1]))
        parts = zip(rows.split(size), others.split(size), strict=True)
        key, similarity = zip(*(self._compare(*part) for part in parts), strict=True)
        return torch.cat(key), torch.cat(similarity)

    def _compare(self, rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        here = self.features[rows].double().unsqueeze(1)
        near = self.features[others].double()
        if self.metric == "cosine":
            lengths = self._lengths[rows].unsqueeze(1) * self._lengths[others]
            cosine = ordered_sum(near.mul_(here)) / lengths
            similarity = cosine.clamp(-1.0, 1.0).float()
            return -similarity, similarity
        distance = ordered_sum(near.sub_(here).square_()).sqrt()
        return distance.float(), (1.0 / (1.0 + distance)).float()


def ordered_sum(values: Tensor) -> Tensor:
    """Sum over the last dimension in an order that no library, machine or shape changes.

    `LANES` partial sums, each of every so many-th value, are added by halves.

    Args:
        values: (..., dim) float64.
    """
    lanes = values.new_zeros(*values.shape[:-1], LANES)
    for part in values.split(LANES, dim=-1):
        lanes[..., : part.shape[-1]] += part
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes.squeeze(-1)
