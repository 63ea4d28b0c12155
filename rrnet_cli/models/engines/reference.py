"""The reference engine: the equations in plain torch, on any device and in any floating dtype.

It reads two tensors of node numbers for each relation and nothing of DGL or numba, so it runs on a
GPU without DGL's own CUDA build. It is also what tests hold the other engines against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rrnet_cli.models.engines.base import SOURCE, TARGET, End, Endpoints, Keeper

if TYPE_CHECKING:
    from rrnet_cli.models.layers import MLP
    from rrnet_cli.models.relation import Relation


class ReferenceEngine(Keeper):
    """See `Engine`."""

    name = "reference"

    def encode(self, relation: Relation, ends: Endpoints, mlp: MLP, extra: Tensor | None) -> Tensor:
        """See `Engine`."""
        total = gather_add(relation, ends)
        if extra is not None:
            total = total + mlp.first.block(2, extra)
        return self.keep(mlp.head(total))

    def edge_layer(
        self,
        relation: Relation,
        ends: Endpoints,
        mlp: MLP,
        edge_feat: Tensor,
        means: Sequence[End],
    ) -> tuple[Tensor, Mapping[End, Tensor]]:
        """See `Engine`."""
        total = gather_add(relation, ends) + mlp.first.block(mlp.last, edge_feat.to(ends[0].dtype))
        edge_feat = mlp.head(total)
        src, dst = relation.index_on(edge_feat.device)
        source, target = ends
        return self.keep(edge_feat), {
            end: mean(edge_feat, dst, len(target), relation.share(TARGET, edge_feat.dtype))
            if end == TARGET
            else mean(edge_feat, src, len(source), relation.share(SOURCE, edge_feat.dtype))
            for end in means
        }

    def decode(self, mlp: MLP, edge_feat: Tensor) -> Tensor:
        """See `Engine`."""
        logits: Tensor = mlp(edge_feat.to(mlp.first.weight.dtype))
        return logits.squeeze(1)


def gather_add(relation: Relation, ends: Endpoints) -> Tensor:
    """Sum of both endpoints' vectors on every edge: (num_edges, hidden)."""
    source, target = ends
    src, dst = relation.index_on(source.device)
    return source.index_select(0, src) + target.index_select(0, dst)


def mean(edge_feat: Tensor, ends: Tensor, num_nodes: int, share: Tensor | None) -> Tensor:
    """Mean of the edges at each node, or their sum by shares; zero where there are none.

    Args:
        edge_feat: (num_edges, hidden).
        ends: (num_edges,) int64 node of each edge.
        num_nodes: Nodes are below it.
        share: (num_edges, 1), or None for equal ones.

    Returns:
        (num_nodes, hidden).
    """
    total = edge_feat.new_zeros(num_nodes, edge_feat.shape[1])
    if share is not None:
        return total.index_add(0, ends, edge_feat * share.to(edge_feat.device))
    degree = torch.bincount(ends, minlength=num_nodes).clamp_min(1)
    return total.index_add(0, ends, edge_feat) / degree.unsqueeze(1)
