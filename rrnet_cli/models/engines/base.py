"""What an engine computes: everything of RR-Net that has a row for each edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

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


class Engine(Protocol):
    """How the edge layers are computed; engines agree but for rounding."""

    @property
    def name(self) -> str:
        """As `--engine` has it."""

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
            means: The ends whose nodes take a mean; over no edges it is zero.

        Returns:
            (num_edges, hidden), and (num_nodes, hidden) for each of `means`.
        """

    def decode(self, mlp: MLP, edge_feat: Tensor) -> Tensor:
        """The decoder of eq. (2), before the logistic function.

        Shapes:
            (num_edges, hidden) -> (num_edges,).
        """
