"""One edge type of the graph, and the three sums over it that RR-Net needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import dgl
import torch
from torch import Tensor

from rrnet_cli.models.engines.base import SOURCE, TARGET, End
from rrnet_cli.models.engines.edges import EdgeIndex


@dataclass(frozen=True)
class Relation:
    """The edges of one canonical type; edge tensors follow the order in which they were given.

    Attributes:
        given: A graph of one edge type; or source and target of each edge, (num_edges,) each.
        sizes: Number of sources and of targets.
        counted: Of an end (num_edges,) bool, which edges the means there are of; where nothing is
            said, of all.
    """

    given: dgl.DGLGraph | tuple[Tensor, Tensor]
    sizes: tuple[int, int]
    counted: Mapping[End, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, edges: dgl.DGLGraph) -> Relation:
        """Wrap a graph of one edge type."""
        return cls(edges, (int(edges.num_src_nodes()), int(edges.num_dst_nodes())))

    def counting(self, edges: Tensor) -> Relation:
        """The same edges, with means at both ends of some alone.

        Args:
            edges: (num_edges,) bool.
        """
        other = replace(self, counted={SOURCE: edges, TARGET: edges})
        # Looked at once for all: a training counts others in every epoch.
        other.__dict__.update(_listed=self._listed, _by_target=self._by_target)
        return other

    @cached_property
    def forward(self) -> dgl.DGLGraph:
        """The edge-type slice, source to destination."""
        if isinstance(self.given, tuple):
            sizes = dict(zip((SOURCE, TARGET), self.sizes, strict=True))
            return dgl.heterograph({(SOURCE, "edge", TARGET): self.given}, sizes)
        return self.given

    @cached_property
    def backward(self) -> dgl.DGLGraph:
        """The same edges reversed, for sums towards the source."""
        return dgl.reverse(self.forward)

    @cached_property
    def index(self) -> EdgeIndex:
        """The same edges for the fused engine."""
        return EdgeIndex.of(
            self._listed, self.sizes, (self.counted.get(SOURCE), self.counted.get(TARGET))
        )

    @cached_property
    def _by_target(self) -> tuple[Tensor, Tensor] | None:
        """First edge of each target (and the end), and sources; None where ids have other order."""
        if isinstance(self.given, tuple):
            return None
        first, source, ids = self.forward.adj_tensors("csc")
        return (first, source) if bool((ids[1:] > ids[:-1]).all()) else None

    @cached_property
    def _listed(self) -> tuple[Tensor, Tensor]:
        if isinstance(self.given, tuple):
            return self.given
        source, target = self.given.edges(order="eid")
        return source, target

    @property
    def sources(self) -> Tensor:
        """(num_edges,) source of each edge, of the graph's type of ids; not to be written to."""
        return self._listed[0] if self._by_target is None else self._by_target[1]

    def ends(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Source and target of some edges, in their order.

        Where edges are in the order of their targets, nothing is built for all edges.

        Shapes:
            -> (stop - start,) each, of the graph's type of ids.
        """
        if self._by_target is None:
            return self._listed[0][start:stop], self._listed[1][start:stop]
        first, source = self._by_target
        bounds = torch.tensor([start, max(start, stop - 1)], dtype=first.dtype)
        low, high = (torch.searchsorted(first, bounds, right=True) - 1).tolist()
        cuts = first[low : high + 2].clamp(start, stop)
        targets = torch.arange(low, low + len(cuts) - 1, dtype=first.dtype)
        return source[start:stop], targets.repeat_interleave(cuts.diff())

    def received(self, low: int, high: int) -> slice:
        """Edges whose targets are the nodes from `low` to `high` (exclusive).

        Raises:
            ValueError: Edges are not in the order of their targets.
        """
        if self._by_target is None:
            raise ValueError("edges are not in the order of their targets")
        first, _ = self._by_target
        return slice(int(first[low]), int(first[high]))

    @cached_property
    def _indices(self) -> dict[torch.device, tuple[Tensor, Tensor]]:
        return {}

    def index_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Source and target of each edge for the reference engine, copied to a device once.

        Shapes:
            -> (num_edges,) int64 each.
        """
        if device not in self._indices:
            src, dst = self._listed
            self._indices[device] = src.to(device).long(), dst.to(device).long()
        return self._indices[device]

    def share(self, end: End, dtype: torch.dtype) -> Tensor | None:
        """Share of each edge in the mean at an end, (num_edges, 1); None where all are equal."""
        if end not in self.counted:
            return None
        node, counted = self._listed[end == TARGET], self.counted[end]
        degree = torch.bincount(node[counted], minlength=self.sizes[end == TARGET])
        return (counted.to(dtype) / degree.clamp_min(1)[node]).unsqueeze(1)

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        if isinstance(self.given, tuple):
            return len(self.given[0])
        return int(self.given.num_edges())

    def gather_add(self, source: Tensor, target: Tensor) -> Tensor:
        """Sum of both endpoints' vectors on every edge.

        Shapes:
            source (num_sources, width), target (num_targets, width) -> (num_edges, width).
        """
        return dgl.ops.u_add_v(self.forward, source, target)

    def mean_to_target(self, edge_feat: Tensor) -> Tensor:
        """Mean over the edges received by each target; zero where there are none.

        Shapes:
            (num_edges, width) -> (num_targets, width).
        """
        share = self.share(TARGET, edge_feat.dtype)
        if share is not None:
            return dgl.ops.copy_e_sum(self.forward, edge_feat * share)
        return dgl.ops.copy_e_mean(self.forward, edge_feat)

    def mean_to_source(self, edge_feat: Tensor) -> Tensor:
        """Mean over the edges sent by each source; zero where there are none.

        Shapes:
            (num_edges, width) -> (num_sources, width).
        """
        share = self.share(SOURCE, edge_feat.dtype)
        if share is not None:
            return dgl.ops.copy_e_sum(self.backward, edge_feat * share)
        return dgl.ops.copy_e_mean(self.backward, edge_feat)
