"""The edges of a relation as the fused kernels read them, and their division among threads."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
_SMALL = 2**14
"""Edges below which a second thread costs more than it does."""


@dataclass(frozen=True)
class EdgeIndex:
    """Who is joined to whom, as compact as the graph allows.

    Attributes:
        ends: Source and target of each edge, int32; without entries if the graph is complete.
        grid: The periods in which source and target of a complete bipartite graph count up, the
            edges in either order; (0, 0) else. See `blocks.number_ends`.
        num_edges: Number of edges.
        sizes: Number of sources and of targets.
        into: Of each end, the row of the sums that each edge goes into, int32: its node, or the row
            after the last for what has no part in its mean; without entries where all do. None
            where all do at both ends.
        inverse: 1 / number of edges in the mean at each source and at each target, float64, with
            that further row where there is one; 0 where there are none, and there.
        ascending: Whether the edges are in the order of their sources, of their targets.
    """

    ends: tuple[Array, Array]
    grid: tuple[int, int]
    num_edges: int
    sizes: tuple[int, int]
    into: tuple[Array, Array] | None
    inverse: tuple[Tensor, Tensor]
    ascending: tuple[bool, bool]

    @classmethod
    def of(
        cls,
        ends: tuple[Tensor, Tensor],
        sizes: tuple[int, int],
        counted: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> EdgeIndex:
        """Look at the edges once.

        Args:
            ends: Sources and targets (num_edges,), in the order of the edges' attributes.
            sizes: Number of sources and of targets.
            counted: Of each end (num_edges,) bool, which edges the means there are of; None: all.
        """
        source, target = (end.numpy().astype(np.int32) for end in ends)
        grid = _grid(source, target, *sizes)
        none = np.empty(0, np.int32)
        into, inverse = [none, none], []
        for side, (end, size, own) in enumerate(zip((source, target), sizes, counted, strict=True)):
            if own is not None:
                into[side] = np.where(own.numpy(), end, np.int32(size))
                size += 1
            inverse.append(_inverse_degree(end if own is None else into[side], size))
            if own is not None:
                inverse[side][-1] = 0.0
        return cls(
            ends=(none, none) if any(grid) else (source, target),
            grid=grid,
            num_edges=len(source),
            sizes=sizes,
            into=(into[0], into[1]) if any(map(len, into)) else None,
            inverse=(inverse[0], inverse[1]),
            ascending=(_is_ascending(source), _is_ascending(target)),
        )

    @property
    def owned(self) -> int | None:
        """The end, 0 or 1, each of whose nodes belongs to one part; the larger one if both do."""
        if self.into is not None:
            return None  # all parts have edges that go into the further row
        sides = [side for side in (0, 1) if self.ascending[side]]
        return max(sides, key=lambda side: self.sizes[side]) if sides else None

    def parts(self) -> list[tuple[int, int]]:
        """First and last edge (exclusive) of each thread's part.

        Where the edges are in the order of one end, none of its nodes is in two parts.
        """
        parts, side = divide(self.num_edges), self.owned
        if side is None or self.num_edges == 0:
            return parts
        begins = [0, *(self._begin(side, first) for first, _ in parts[1:]), self.num_edges]
        return list(itertools.pairwise(begins))

    def _begin(self, side: int, edge: int) -> int:
        """The first edge of the node that an edge belongs to."""
        if any(self.grid):
            period = max(self.grid)
            return edge // period * period
        return int(np.searchsorted(self.ends[side], self.ends[side][edge]))


def _inverse_degree(ends: Array, num_nodes: int) -> Tensor:
    degree = torch.from_numpy(np.bincount(ends, minlength=num_nodes)).double()
    return torch.where(degree > 0, degree.reciprocal(), 0.0)


def _is_ascending(ends: Array) -> bool:
    return bool((ends[1:] >= ends[:-1]).all())


def _grid(src: Array, dst: Array, num_sources: int, num_targets: int) -> tuple[int, int]:
    """The periods of a complete bipartite graph; (0, 0) for any other."""
    if len(src) != num_sources * num_targets or len(src) == 0:
        return 0, 0
    slow, fast = np.divmod(np.arange(len(src), dtype=np.int32), np.int32(num_sources))
    if np.array_equal(src, fast) and np.array_equal(dst, slow):
        return 1, num_sources
    slow, fast = np.divmod(np.arange(len(src), dtype=np.int32), np.int32(num_targets))
    if np.array_equal(src, slow) and np.array_equal(dst, fast):
        return num_targets, 1
    return 0, 0


def divide(num_edges: int) -> list[tuple[int, int]]:
    """Equal parts of the edges, one for each of torch's threads."""
    threads = torch.get_num_threads() if num_edges > _SMALL else 1
    cuts = [num_edges * part // threads for part in range(threads + 1)]
    return list(itertools.pairwise(cuts))
