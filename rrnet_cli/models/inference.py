"""RR-Net's forward pass with the edges a block at a time: memory for nodes, not for edges.

Every unit asks for the means of a node's edges, so the pass goes unit by unit over the whole
graph, and no neighbourhood is cut short. What is kept between units are node states. An edge's own
state is a chain of edge layers, one a unit, each a function of node states and of the state
before: it is computed anew for a block of edges whenever a unit needs it. A stack in which a
relation has k units so costs it 1 + 2 + … + k edge layers instead of k; they are 16 wide.

The results are those of `RRNet.forward` but for rounding, whatever the size of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from rrnet_cli.models.engines.base import SOURCE, TARGET, End
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rows import rows_of
from rrnet_cli.models.rrnet import INTER, LEFT, RIGHT, SIDES, GraphInputs, RRNet
from rrnet_cli.models.units import InterUnit, IntraUnit

BLOCK = 2**17
"""Edges (and nodes) at a time: at 16 numbers each, states of 8 MiB."""

_Name = TypeVar("_Name")
_Unit = IntraUnit | InterUnit


@torch.no_grad()
def logits_in_blocks(model: RRNet, inputs: GraphInputs, size: int = BLOCK) -> Tensor:
    """What `RRNet.forward` answers on a full graph, without its gradient.

    Args:
        model: The network.
        inputs: Of the full graph.
        size: Edges or nodes at a time.

    Returns:
        (num_inter_edges,) logits, in the order of the inter relation's edges.
    """
    nodes, chains = _encode(model, inputs, size)
    stack = list(model.units)
    while stack and INTER not in stack[-1]:  # no logit depends on what follows
        stack.pop()
    for number, unit in enumerate(stack, start=1):
        after = dict(nodes)
        for name, layer in unit.items():
            chain = chains[name]
            chain.extend(layer, nodes)
            if number < len(stack):
                after |= _updated(layer, name, chain, nodes, size)
        nodes = after
    chain = chains[INTER]
    result = chain.edge_encoder.first.weight.new_empty(chain.num_edges)
    for start, stop in _spans(chain.num_edges, size):
        state = chain.keep(chain.states(start, stop)[2])
        result[start:stop] = model.decoder(state).squeeze(1)
    return result if inputs.offset is None else result.add_(inputs.offset)


class _Chain:
    """How the states of a relation's edges come about, as far as the pass has gone."""

    def __init__(
        self, model: RRNet, inputs: GraphInputs, name: str, encoded: tuple[Tensor, Tensor]
    ) -> None:
        self.relation = inputs.relations[name]
        self.num_edges = self.relation.num_edges
        self.edge_encoder = model.edge_encoder[name]
        self.extra = inputs.edge_inputs.get(name)
        self.encoded = encoded
        self.sides = SIDES[name]
        self.engine = model.engine
        self.layers: list[tuple[_Unit, Tensor, Tensor]] = []

    def extend(self, layer: _Unit, nodes: dict[str, Tensor]) -> None:
        """Add a unit's edge layer on the states that nodes have before it."""
        source, target = self.sides
        self.layers.append((layer, nodes[source], nodes[target]))

    def states(self, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        """Ends and states of some edges: (stop - start,) twice, (stop - start, hidden)."""
        src, dst = self.relation.ends(start, stop)
        total = rows_of(self.encoded[0], src) + rows_of(self.encoded[1], dst)
        if self.extra is not None:
            total += self.edge_encoder.first.block(2, self.extra[start:stop])
        state = self.edge_encoder.head(total)
        for layer, source, target in self.layers:
            state = self.keep(state)
            sent, received = layer.ends(rows_of(source, src), rows_of(target, dst))
            total = sent.add_(received).add_(layer.edge.first.block(layer.edge.last, state))
            state = layer.edge.head(total)
        return src, dst, state

    def keep(self, state: Tensor) -> Tensor:
        """The states as the engine would keep them."""
        return self.engine.keep(state).to(state.dtype)


def _encode(
    model: RRNet, inputs: GraphInputs, size: int
) -> tuple[dict[str, Tensor], dict[str, _Chain]]:
    """Latent attributes of nodes by side, and the chains of edges by relation, without units."""
    nodes: dict[str, Tensor] = {}
    ends: dict[tuple[str, int], Tensor] = {}
    for side in (LEFT, RIGHT):
        feat = inputs.node_feat[side]
        for start, stop in _spans(feat.shape[0], size):
            state, contributed = model.encode_nodes(side, feat[start:stop])
            if state is not None:
                _put(nodes, side, state, start, feat.shape[0])
            for key, part in contributed.items():
                _put(ends, key, part, start, feat.shape[0])
    chains = {
        name: _Chain(model, inputs, name, (ends[name, 0], ends[name, 1]))
        for name in model.edge_encoder
    }
    return nodes, chains


def _put(kept: dict[_Name, Tensor], name: _Name, part: Tensor, start: int, count: int) -> None:
    """Rows from `start` on of a matrix of `count` rows, which the first part makes."""
    if name not in kept:
        kept[name] = part.new_empty(count, part.shape[1])
    kept[name][start : start + len(part)] = part


def _updated(
    layer: _Unit, name: str, chain: _Chain, nodes: dict[str, Tensor], size: int
) -> dict[str, Tensor]:
    """States after a unit of the nodes that take a mean over the relation."""
    if isinstance(layer, IntraUnit):
        _, received = _means(chain, None, nodes[name], size)
        return {name: _in_place(layer.node, received, nodes[name], size)}
    sent, received = _means(chain, nodes[LEFT], nodes[RIGHT], size)
    assert sent is not None
    return {
        LEFT: _in_place(layer.left, sent, nodes[LEFT], size),
        RIGHT: _in_place(layer.right, received, nodes[RIGHT], size),
    }


def _means(
    chain: _Chain, sources: Tensor | None, targets: Tensor, size: int
) -> tuple[Tensor | None, Tensor]:
    """Means of the edges' states at sources (if wanted) and targets, shaped as their states."""
    received, degree = torch.zeros_like(targets), torch.zeros(len(targets), dtype=torch.int64)
    sent = None if sources is None else torch.zeros_like(sources)
    out_degree = torch.zeros(0 if sources is None else len(sources), dtype=torch.int64)
    for start, stop in _spans(chain.num_edges, size):
        src, dst, state = chain.states(start, stop)
        # A hub's edges are added up by themselves and in float64: long sums lose digits.
        low, high = int(dst.min()), int(dst.max()) + 1
        part = torch.zeros(high - low, state.shape[1], dtype=torch.float64)
        node, heard = _heard(chain.relation, TARGET, start, dst - low, state)
        part.index_add_(0, node, heard.double())
        received[low:high] += part
        degree[low:high] += torch.bincount(node, minlength=high - low)
        if sent is not None:
            node, heard = _heard(chain.relation, SOURCE, start, src, state)
            sent.index_add_(0, node, heard)
            out_degree.index_add_(0, node, torch.ones(len(node), dtype=torch.int64))
    if sent is not None:
        sent /= out_degree.clamp_min(1).unsqueeze(1)
    received /= degree.clamp_min(1).unsqueeze(1)
    return sent, received


def _heard(
    relation: Relation, end: End, start: int, node: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Of edges from `start` on those that the means at an end are of: their nodes and states."""
    if end not in relation.counted:
        return node, state
    which = relation.counted[end][start : start + len(node)]
    return node[which], state[which]


def _in_place(
    layer: Callable[[Tensor, Tensor], Tensor], mean: Tensor, nodes: Tensor, size: int
) -> Tensor:
    """A node layer's answers, written over the means: (num_nodes, hidden)."""
    for start, stop in _spans(len(nodes), size):
        mean[start:stop] = layer(mean[start:stop], nodes[start:stop])
    return mean


def _spans(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Consecutive spans of at most `size` that cover `count`."""
    for start in range(0, count, size):
        yield start, min(start + size, count)
