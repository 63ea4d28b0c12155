"""The engine of DGL's operations, one after another, as the equations read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from rrnet_cli.models.engines.base import TARGET, End, Endpoints, Keeper

if TYPE_CHECKING:
    from rrnet_cli.models.layers import MLP
    from rrnet_cli.models.relation import Relation


class DGLEngine(Keeper):
    """See `Engine`."""

    name = "dgl"

    def encode(self, relation: Relation, ends: Endpoints, mlp: MLP, extra: Tensor | None) -> Tensor:
        """See `Engine`."""
        total = relation.gather_add(*ends)
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
        total = relation.gather_add(*ends) + mlp.first.block(mlp.last, edge_feat.to(ends[0].dtype))
        edge_feat = mlp.head(total)
        return self.keep(edge_feat), {
            end: relation.mean_to_target(edge_feat)
            if end == TARGET
            else relation.mean_to_source(edge_feat)
            for end in means
        }

    def decode(self, mlp: MLP, edge_feat: Tensor) -> Tensor:
        """See `Engine`."""
        logits: Tensor = mlp(edge_feat.to(mlp.first.weight.dtype))
        return logits.squeeze(1)
