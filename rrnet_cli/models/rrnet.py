"""RR-Net (Li et al., Sec. III-C): encoder, a stack of GCN units, decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from rrnet_cli.models.engines.base import Engine
from rrnet_cli.models.engines.dgl_ops import DGLEngine
from rrnet_cli.models.layers import MLP, Init, map_together
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rows import StoredRows
from rrnet_cli.models.units import InterUnit, IntraUnit

LEFT, RIGHT, INTER = "left", "right", "inter"
"""The two Intra Graphs, named by side, and the Inter Graph (left to right)."""
SIDES = {LEFT: (LEFT, LEFT), RIGHT: (RIGHT, RIGHT), INTER: (LEFT, RIGHT)}
"""Side of the sources and of the targets of each relation."""


@dataclass(frozen=True)
class GraphInputs:
    """Everything RR-Net reads.

    Attributes:
        relations: `inter`, and `left` / `right` where that modality has intra-edges.
        node_feat: `left` (num_left, left_width) and `right` (num_right, right_width), in memory or
            not.
        edge_inputs: For any relation, extra raw attributes (num_edges, extra_width) besides the
            concatenated endpoints; none in the paper.
        offset: (num_logits,) added to the decoder's logits; zero in the paper.
        units: Of each unit the part of each relation that it computes: the first of the edges,
            between the first of the nodes, no more than the unit before. Nothing for all of it.
    """

    relations: Mapping[str, Relation]
    node_feat: Mapping[str, Tensor | StoredRows]
    edge_inputs: Mapping[str, Tensor] = field(default_factory=dict)
    offset: Tensor | None = None
    units: Sequence[Mapping[str, Relation]] = ()


@dataclass(frozen=True)
class Shape:
    """What fixes the parameters of an RR-Net besides its options.

    Attributes:
        widths: Raw width of the `left` and the `right` nodes.
        relations: Which of `left`, `right`, `inter` have edges.
        extra: Width of the extra raw attributes of each relation (0 where absent).
    """

    widths: Mapping[str, int]
    relations: tuple[str, ...]
    extra: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: GraphInputs) -> Shape:
        """Read the shape off some inputs."""
        return cls(
            {side: feat.shape[1] for side, feat in inputs.node_feat.items()},
            tuple(sorted(inputs.relations)),
            {name: value.shape[1] for name, value in inputs.edge_inputs.items()},
        )


class RRNet(nn.Module):
    """The relational reasoning network.

    Args:
        shape: Widths and relations of the graph.
        units: The stack, e.g. ``("intra", "inter")``. Intra units pass over a side without
            intra-edges. An empty stack is the control without relations: every inter-edge is
            encoded and decoded alone, and only what that needs is built.
        hidden: Width of every latent attribute and hidden layer (paper: 16).
        init: See `BlockLinear`.
        zero_decoder: Start the decoder at 0, so that the offset alone decides at first.
        engine: How edge layers are computed; `DGLEngine` where None. No part of the state.
    """

    def __init__(
        self,
        shape: Shape,
        units: Sequence[str],
        hidden: int = 16,
        *,
        init: Init = "he",
        zero_decoder: bool = False,
        engine: Engine | None = None,
    ) -> None:
        super().__init__()
        self.engine = engine if engine is not None else DGLEngine()
        sides = (LEFT, RIGHT) if units else ()  # node states reach the decoder through units alone
        self.intra_sides = tuple(side for side in sides if side in shape.relations)
        self.node_encoder = nn.ModuleDict(
            {side: MLP([shape.widths[side]], hidden, hidden, init) for side in sides}
        )
        self.edge_encoder = nn.ModuleDict(
            {
                name: MLP(
                    [*(shape.widths[end] for end in SIDES[name]), shape.extra.get(name, 0)],
                    hidden,
                    hidden,
                    init,
                )
                for name in (*self.intra_sides, INTER)
            }
        )
        self.units = nn.ModuleList(
            nn.ModuleDict({INTER: InterUnit(hidden, init, self.engine)})
            if unit == "inter"
            else nn.ModuleDict(
                {side: IntraUnit(hidden, init, self.engine) for side in self.intra_sides}
            )
            for unit in units
        )
        self.decoder = MLP([hidden], hidden, 1, init, zero=zero_decoder)

    def encode(self, inputs: GraphInputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Eq. (1): latent attributes of nodes, by side, and of edges, by relation.

        The raw attribute of an edge is v_s ‖ v_r (‖ extra). All that is linear in the raw
        attributes of a side is mapped in one product.

        Shapes:
            -> (num_nodes, hidden) for each side that units read, (num_edges, hidden) for each
            relation.
        """
        nodes: dict[str, Tensor] = {}
        ends: dict[tuple[str, int], Tensor] = {}
        for side in (LEFT, RIGHT):
            state, contributed = self.encode_nodes(
                side, inputs.node_feat[side][:], inputs.relations
            )
            ends |= contributed
            if state is not None:
                nodes[side] = state
        edges = {
            name: self.engine.encode(
                inputs.relations[name],
                (ends[name, 0], ends[name, 1]),
                mlp,
                inputs.edge_inputs.get(name),
            )
            for name, mlp in self.edge_encoder.items()
        }
        return nodes, edges

    def encode_nodes(
        self, side: str, feat: Tensor, relations: Mapping[str, Relation] | None = None
    ) -> tuple[Tensor | None, dict[tuple[str, int], Tensor]]:
        """Eq. (1) on some nodes of a side, and their part in it on edges.

        Args:
            side: `left` or `right`.
            feat: (num_nodes, raw width).
            relations: Between the first of these nodes; None where all have a part in all.

        Returns:
            Their latent attributes (num_nodes, hidden), None where no unit reads them; and of each
            relation and end (0 source, 1 target) on this side what its nodes contribute to the
            first map of the edge encoder, (num_nodes, hidden), the bias with the sources; of
            relations between fewer nodes, as many rows.
        """
        edges = [
            (name, end)
            for name in self.edge_encoder
            for end, kind in enumerate(SIDES[name])
            if kind == side
        ]
        blocks = [(self.edge_encoder[name].first, end) for name, end in edges]
        own = [encoder for kind, encoder in self.node_encoder.items() if kind == side]
        counts = [
            len(feat) if relations is None else relations[name].sizes[end] for name, end in edges
        ]
        mapped = map_together(
            feat,
            [*((encoder.first, 0) for encoder in own), *blocks],
            [*(len(feat) for _ in own), *counts],
        )
        state = own[0].head(mapped[0] + own[0].first.bias) if own else None
        contributed = {
            (name, end): part if end else part + self.edge_encoder[name].first.bias
            for (name, end), part in zip(edges, mapped[len(own) :], strict=True)
        }
        return state, contributed

    def forward(self, inputs: GraphInputs) -> Tensor:
        """Logit of every inter-edge; the probability of eq. (2) is its sigmoid.

        Shapes:
            -> (num_logits,), in the order of the inter relation's edges: all of them, or with
            `inputs.units` those that the last inter unit computes (all, if there is none).
        """
        nodes, edges = self.encode(inputs)
        for number, unit in enumerate(self.units, start=1):
            relations = inputs.units[number - 1] if inputs.units else inputs.relations
            for name, layer in unit.items():
                relation = relations[name]
                if name == INTER:
                    nodes[LEFT], nodes[RIGHT], edges[INTER] = layer(
                        relation,
                        nodes[LEFT],
                        nodes[RIGHT],
                        edges[INTER],
                        self._read_after(number, inputs),
                    )
                else:
                    nodes[name], edges[name] = layer(relation, nodes[name], edges[name])
        logits = self.engine.decode(self.decoder, edges[INTER])
        return logits if inputs.offset is None else logits + inputs.offset

    def _read_after(self, number: int, inputs: GraphInputs) -> tuple[int, int]:
        """How many nodes of `left` and `right`, the first, are read after a unit."""
        if number == len(self.units):
            return 0, 0
        if not inputs.units:
            return inputs.relations[INTER].sizes
        read = {LEFT: 0, RIGHT: 0}
        for unit in inputs.units[number:]:
            for name, relation in unit.items():
                for side, size in zip(SIDES[name], relation.sizes, strict=True):
                    read[side] = max(read[side], size)
        return read[LEFT], read[RIGHT]


def count_parameters(model: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
