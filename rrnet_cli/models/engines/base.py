"""What an engine computes: everything of RR-Net that has a row for each edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from rrnet_cli.models.layers import MLP
    from rrnet_cli.models.relation import Relation

End = Literal["source", "target"]
SOURCE: End = "source"
TARGET: End = "target"

Endpoints = tuple[Tensor, Tensor]
"""What sources (num_sources, hidden) and targets (num_targets, hidden) contribute to the first
linear map of an edge layer, its bias included: node blocks are mapped on the nodes."""


class Keeper:
    """What all engines keep edge attributes in.

    Args:
        storage: A type, or None for that of the parameters. Whatever is computed is computed in
            that of the parameters.
    """

    def __init__(self, storage: torch.dtype | None = None) -> None:
        self.storage = storage

    def keep(self, edge_feat: Tensor) -> Tensor:
        """See `Engine`."""
        return edge_feat if self.storage is None else edge_feat.to(self.storage)


class Engine(Protocol):
    """How the edge layers are computed; engines agree but for rounding."""

    @property
    def name(self) -> str:
        """As `--engine` has it."""

    def keep(self, edge_feat: Tensor) -> Tensor:
        """Edge attributes (num_edges, hidden) as they are kept from one layer to the next.

        Those that an engine gives are kept so, and those that it takes may be. The means are of
        what has not been rounded yet.
        """

    def encode(self, relation: Relation, ends: Endpoints, mlp: MLP, extra: Tensor | None) -> Tensor:
        """Eq. (1) on edges: the MLP of v_s ‖ v_r (‖ extra).

        Args:
            relation: The edges.
            ends: The blocks v_s and v_r of the MLP's first map.
            mlp: Its third block is that of `extra`.
            extra: (num_edges, width of the third block), or None.

        Returns:
            (num_edges, hidden).
        """

    def edge_layer(
        self,
        relation: Relation,
        ends: Endpoints,
        mlp: MLP,
        edge_feat: Tensor,
        means: Sequence[End],
    ) -> tuple[Tensor, Mapping[End, Tensor]]:
        """New edge attributes, and their means over the edges of each node.

        Args:
            relation: The edges.
            ends: The node blocks of the MLP's first map.
            mlp: Its last block is that of `edge_feat`.
            edge_feat: (num_edges, hidden).
            means: The ends whose nodes take a mean, of the edges that `relation.counted` says; over
                no edges it is zero.

        Returns:
            (num_edges, hidden), and (num_nodes, hidden) for each of `means`.
        """

    def decode(self, mlp: MLP, edge_feat: Tensor) -> Tensor:
        """The decoder of eq. (2), before the logistic function.

        Shapes:
            (num_edges, hidden) -> (num_edges,).
        """
