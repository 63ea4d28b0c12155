"""The two GCN units of Sec. III-C2: an edge layer and the node layer that follows it.

What has a row for each edge is computed by an engine: MLP(node blocks ‖ e) and the means of its
result, `Engine.edge_layer`.
"""

from __future__ import annotations

from torch import Tensor, nn

from rrnet_cli.models.engines.base import SOURCE, TARGET, Endpoints, Engine
from rrnet_cli.models.layers import MLP, BlockLinear, Init
from rrnet_cli.models.relation import Relation


class NodeLayer(nn.Module):
    """Eq. (8): v ← ζ_v(φ_v(E) ‖ v), φ_v the mean over incident edges."""

    def __init__(self, hidden: int, init: Init) -> None:
        super().__init__()
        self.mlp = MLP([hidden, hidden], hidden, hidden, init)

    def forward(self, incident: Tensor, node_feat: Tensor) -> Tensor:
        """Both (num_nodes, hidden) -> (num_nodes, hidden)."""
        result: Tensor = self.mlp(incident, node_feat)
        return result


class IntraUnit(nn.Module):
    r"""Intra GCN unit on one Intra Graph, eqs. (3)-(5) and (8).

    .. math::
        e \leftarrow \zeta^e_{intra}(v_s \Vert v_r \Vert e), \qquad
        v \leftarrow \zeta^v(\mathrm{mean}_{e \in E_v} e \Vert v)

    :math:`E_v` are the edges that v receives: in a kNN graph those from its k neighbours; social
    links are stored in both directions, so there it is every incident edge.
    """

    def __init__(self, hidden: int, init: Init, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.edge = MLP([hidden, hidden, hidden], hidden, hidden, init)
        self.node = NodeLayer(hidden, init)

    def ends(self, source: Tensor, target: Tensor) -> Endpoints:
        """What both ends contribute to the edge layer: (rows, hidden) each -> the same."""
        first = self.edge.first
        return first.block(0, source, with_bias=True), first.block(1, target)

    def forward(
        self, relation: Relation, node_feat: Tensor, edge_feat: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update one modality.

        A relation of fewer edges and nodes is that of the first ones: only these are updated, and
        of the nodes only its targets.

        Shapes:
            node_feat (num_nodes, hidden), edge_feat (num_edges, hidden) -> the same two.
        """
        sources, targets = (node_feat[:size] for size in relation.sizes)
        edge_feat, mean = self.engine.edge_layer(
            relation,
            self.ends(sources, targets),
            self.edge,
            edge_feat[: relation.num_edges],
            means=[TARGET],
        )
        return self.node(mean[TARGET], targets), edge_feat


class InterUnit(nn.Module):
    r"""Inter GCN unit on the Inter Graph, eqs. (6)-(8).

    .. math::
        \hat e = W (v_s \Vert v_r), \qquad e \leftarrow \zeta^e_{inter}(\hat e \Vert e), \qquad
        v \leftarrow \zeta^v(\mathrm{mean}_{e \in E_v} e \Vert v)

    W and the first layer of :math:`\zeta^e_{inter}` are both linear in the nodes, so their product
    is applied on the nodes and only the result is gathered.
    """

    def __init__(self, hidden: int, init: Init, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.kernel = BlockLinear([hidden, hidden], hidden, bias=False, init=init)
        self.edge = MLP([hidden, hidden], hidden, hidden, init)
        self.left = NodeLayer(hidden, init)
        self.right = NodeLayer(hidden, init)

    def ends(self, source: Tensor, target: Tensor) -> Endpoints:
        """What both ends contribute to the edge layer: (rows, hidden) each -> the same."""
        first = self.edge.first
        return (
            first.block(0, self.kernel.block(0, source), with_bias=True),
            first.block(0, self.kernel.block(1, target)),
        )

    def forward(
        self,
        relation: Relation,
        left: Tensor,
        right: Tensor,
        edge_feat: Tensor,
        kept: tuple[int, int] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Update both modalities and the inter-edges.

        Args:
            relation: If it is of fewer edges and nodes, it is that of the first ones.
            left: (num_left, hidden).
            right: (num_right, hidden).
            edge_feat: (num_edges, hidden).
            kept: How many nodes of either side get a new state, the first; None: all of the
                relation.

        Returns:
            The states of these nodes, and of the relation's edges.
        """
        kept = relation.sizes if kept is None else kept
        left, right = left[: relation.sizes[0]], right[: relation.sizes[1]]
        edge_feat, mean = self.engine.edge_layer(
            relation,
            self.ends(left, right),
            self.edge,
            edge_feat[: relation.num_edges],
            means=[end for end, count in zip((SOURCE, TARGET), kept, strict=True) if count],
        )
        left, right = left[: kept[0]], right[: kept[1]]
        if SOURCE in mean:
            left = self.left(mean[SOURCE][: kept[0]], left)
        if TARGET in mean:
            right = self.right(mean[TARGET][: kept[1]], right)
        return left, right, edge_feat
