"""The fused engine: an edge layer with its means in one pass over the edges, by numba.

In memory, as for autograd, are the attributes that go in and those that come out, and nothing
between: the backward pass computes it again, in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rrnet_cli.models.engines.base import SOURCE, TARGET, End, Endpoints, Engine, Keeper
from rrnet_cli.models.engines.dgl_ops import DGLEngine
from rrnet_cli.models.engines.functions import Decoder, EdgeLayer, Form
from rrnet_cli.models.engines.reference import ReferenceEngine

if TYPE_CHECKING:
    from rrnet_cli.models.layers import MLP
    from rrnet_cli.models.relation import Relation

_edge_layer: Any = EdgeLayer.apply
_decoder: Any = Decoder.apply
_DTYPES = (torch.float32, torch.float64)


class FusedEngine(Keeper):
    """See `Engine`; whatever the kernels do not know goes to a plain one."""

    name = "fused"

    def encode(self, relation: Relation, ends: Endpoints, mlp: MLP, extra: Tensor | None) -> Tensor:
        """See `Engine`."""
        if not self._knows(mlp, ends[0]) or (extra is not None and extra.requires_grad):
            return self._plain(ends[0]).encode(relation, ends, mlp, extra)
        x = ends[0].new_empty(relation.num_edges, 0) if extra is None else extra
        form = Form(relation.index, (), self.storage)
        out, _, _ = _edge_layer(form, *ends, x, *_parameters(mlp, 2))
        return out

    def edge_layer(
        self,
        relation: Relation,
        ends: Endpoints,
        mlp: MLP,
        edge_feat: Tensor,
        means: Sequence[End],
    ) -> tuple[Tensor, Mapping[End, Tensor]]:
        """See `Engine`."""
        if not self._knows(mlp, edge_feat):
            return self._plain(edge_feat).edge_layer(relation, ends, mlp, edge_feat, means)
        form = Form(relation.index, tuple(means), self.storage)
        out, sent, received = _edge_layer(form, *ends, edge_feat, *_parameters(mlp, mlp.last))
        return out, {end: {SOURCE: sent, TARGET: received}[end] for end in means}

    def decode(self, mlp: MLP, edge_feat: Tensor) -> Tensor:
        """See `Engine`."""
        if not self._knows(mlp, edge_feat):
            return self._plain(edge_feat).decode(mlp, edge_feat)
        first, second = mlp.first, mlp.head.linear
        logits: Tensor = _decoder(edge_feat, first.weight, first.bias, second.weight, second.bias)
        return logits

    def _knows(self, mlp: MLP, value: Tensor) -> bool:
        """Whether the kernels take edge attributes, or what goes into them, beside such weights."""
        computed = mlp.first.weight.dtype
        if self.storage is not None and computed != torch.float32:
            return False
        stored = (computed, self.storage) if computed == torch.float32 else (computed,)
        return value.device.type == "cpu" and computed in _DTYPES and value.dtype in stored

    def _plain(self, value: Tensor) -> Engine:
        """The engine for what the kernels do not take: DGL's wheel is for the CPU."""
        kind = DGLEngine if value.device.type == "cpu" else ReferenceEngine
        return kind(self.storage)


def _parameters(mlp: MLP, block: int) -> tuple[Any, ...]:
    """The first map's block for the edges, and the second map with its bias."""
    return mlp.first.block_weight(block), mlp.head.linear.weight, mlp.head.linear.bias
