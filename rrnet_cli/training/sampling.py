"""Steps on parts of the graph: some instances, and what reaches them within a few hops.

As in ShaDow the whole model works on the subgraph around the seeds, and only their inter-edges
supervise. In hop h every node that the hop before reached (the seeds at first) draws `fanout[h]`
of the edges that it takes a mean over, of each relation; a seed draws all of its inter-edges.

Eq. (8) takes the mean of d edges. A node draws m = min(fan-out, d) of them by a uniform choice
without replacement, so each is among them with probability m / d, and the expectation of the mean
of those drawn, sum over edges of (m / d) (e / m), is the full mean, whatever the edges hold.
An edge is in the subgraph also where only its other end drew it. It would bias the mean (every
seed's edge reaches its label for certain), so it has no part in it. What the MLPs make of an
unbiased mean is as biased as they are curved.

Nodes that only the last hop reached draw nothing: theirs is the mean of what others drew, and zero
over intra-edges, which the node that receives them draws. The answer on a seed's edge depends on
nodes as far away as the stack has units, and on the farthest by their own attributes alone: with
as many hops as units no such mean is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dgl
import torch
from torch import Tensor

from rrnet_cli.models.engines.base import SOURCE, TARGET, End
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rows import rows_of
from rrnet_cli.models.rrnet import INTER, LEFT, RIGHT, GraphInputs
from rrnet_cli.training.processes import ALONE, Group

_SIDES = {LEFT: (LEFT, LEFT), RIGHT: (RIGHT, RIGHT), INTER: (LEFT, RIGHT)}
"""Side of the sources and of the targets of each relation."""
_MEANS: tuple[tuple[str, End], ...] = (
    (LEFT, TARGET),
    (RIGHT, TARGET),
    (INTER, TARGET),
    (INTER, SOURCE),
)
"""Each relation and the end whose nodes take a mean over it."""

Draw = Callable[[str, End, Tensor, int], Tensor]
"""A relation, the end that draws, its nodes (num_nodes,) and how many edges each draws (-1: all),
to the edges drawn and their sources and targets, (3, num_drawn) int64."""


@dataclass(frozen=True)
class Batch:
    """What one step reads.

    Attributes:
        inputs: Of the network.
        target: (num_inter_edges,), as `Problem.target`.
        supervised: (num_inter_edges,) bool.
        candidates: (num_instances, num_candidates) inter-edges of each instance that may
            supervise; None for ratings.
    """

    inputs: GraphInputs
    target: Tensor
    supervised: Tensor
    candidates: Tensor | None


@dataclass(frozen=True)
class Sample:
    """A subgraph.

    Attributes:
        nodes: Ids in the full graph of the nodes of `left` and `right`, ascending.
        edges: Ids in the full graph of the edges of each relation, ascending.
        relations: The same edges between the same nodes, numbered anew in this order.
    """

    nodes: Mapping[str, Tensor]
    edges: Mapping[str, Tensor]
    relations: Mapping[str, Relation]


def batches(
    whole: Batch, owner: Tensor, size: int, fanout: Sequence[int], group: Group = ALONE
) -> Iterator[Batch]:
    """One epoch: all left nodes that supervise, in random order, some at a time.

    The left nodes of ratings are users: all inter-edges of a seed are in its subgraph anyway, so
    all that supervise may as well. Node and edge attributes are those of the full graph,
    standardised there. The order and the samples depend on torch's global generator alone.

    Args:
        whole: The full graph, as the epoch shows it.
        owner: (num_inter_edges,) left node of each inter-edge.
        size: Seeds a batch, of all processes together.
        fanout: See `sample`.
        group: Who shares each batch; what is given is the share of this process, which is empty
            where there are fewer seeds than processes.
    """
    supervises = torch.zeros(whole.inputs.node_feat[LEFT].shape[0], dtype=torch.bool)
    supervises[owner[whole.supervised]] = True
    seeds = supervises.nonzero()[:, 0].to(owner.dtype)
    for some in seeds[torch.randperm(len(seeds))].split(size):
        with group.own_stream():
            part = _around(whole, owner, group.own(some), fanout)
        yield part


def _around(whole: Batch, owner: Tensor, seeds: Tensor, fanout: Sequence[int]) -> Batch:
    """The part of the epoch that some seeds supervise."""
    full = whole.inputs
    part = sample(full.relations, seeds, fanout)
    inter = part.edges[INTER]
    sown = among(seeds, part.nodes[LEFT])[part.relations[INTER].forward.edges(order="eid")[0]]
    rows = None if whole.candidates is None else whole.candidates[seeds]
    return Batch(
        GraphInputs(
            part.relations,
            {side: rows_of(full.node_feat[side], ids) for side, ids in part.nodes.items()},
            {name: rows_of(value, part.edges[name]) for name, value in full.edge_inputs.items()},
            None if full.offset is None else full.offset[inter],
        ),
        whole.target[inter],
        whole.supervised[inter] & sown,
        None if rows is None else torch.searchsorted(inter, rows),
    )


def sample(relations: Mapping[str, Relation], seeds: Tensor, fanout: Sequence[int]) -> Sample:
    """The subgraph around some left nodes; see the module for what it estimates.

    Args:
        relations: Of the full graph, as `GraphInputs.relations`.
        seeds: (num_seeds,) left nodes.
        fanout: Edges that a node draws of each relation, for each hop; -1 for all.
    """
    return surroundings(
        lambda name, end, nodes, count: _draw(relations[name].forward, nodes, end, count),
        tuple(relations),
        seeds,
        fanout,
    )


def surroundings(
    draw: Draw, relations: Sequence[str], seeds: Tensor, fanout: Sequence[int]
) -> Sample:
    """`sample`, wherever the edges are.

    Args:
        draw: Gives the edges that some nodes draw.
        relations: Which there are.
        seeds: (num_seeds,) left nodes.
        fanout: As in `sample`.
    """
    reached = {LEFT: seeds.unique(), RIGHT: seeds.new_empty(0)}
    new = dict(reached)
    drawn = {means: [seeds.new_empty(3, 0)] for means in _MEANS if means[0] in relations}
    for hop, size in enumerate(fanout):
        found = {side: [ids] for side, ids in reached.items()}
        for name, end in drawn:
            side, other = _SIDES[name] if end == SOURCE else reversed(_SIDES[name])
            if len(new[side]):
                count = -1 if hop == 0 and name == INTER else size
                chosen = draw(name, end, new[side], count)
                drawn[name, end].append(chosen)
                found[other].append(chosen[2 if end == SOURCE else 1])
        for side, before in reached.items():
            reached[side] = torch.cat(found[side]).unique()
            new[side] = reached[side][~among(before, reached[side])]
    own = {means: torch.cat(some, dim=1) for means, some in drawn.items()}
    edges, parts = {}, {}
    for name in relations:
        ends = [end for end in (SOURCE, TARGET) if (name, end) in own]
        distinct, drew = _distinct([own[name, end] for end in ends])
        edges[name] = distinct[0]
        parts[name] = _part(name, distinct, reached, dict(zip(ends, drew, strict=True)))
    return Sample(reached, edges, parts)


def _draw(graph: dgl.DGLGraph, nodes: Tensor, end: End, count: int) -> Tensor:
    """What a `Draw` gives, of one relation of a graph in memory.

    On one thread, because DGL's generators are one a thread: what is drawn is then the same
    whatever the machine. It starts from torch's generator, whose state checkpoints keep.
    """
    seed = int(torch.randint(2**31 - 1, ()))
    kind = (graph.srctypes if end == SOURCE else graph.dsttypes)[0]
    threads = dgl.utils.get_num_threads()
    dgl.utils.set_num_threads(1)
    try:
        dgl.seed(seed)
        drawn = dgl.sampling.sample_neighbors(
            graph, {kind: nodes}, count, edge_dir="out" if end == SOURCE else "in"
        )
    finally:
        dgl.utils.set_num_threads(threads)
    return torch.stack([drawn.edata[dgl.EID], *drawn.edges(order="eid")])


def among(some: Tensor, ids: Tensor) -> Tensor:
    """Which of `ids`, ascending, are in `some`, all of which are in `ids`: (num_ids,) bool."""
    result = torch.zeros(len(ids), dtype=torch.bool)
    result[torch.searchsorted(ids, some)] = True
    return result


def _distinct(drawn: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """What was drawn for one end or both: each edge once, ascending, and for which.

    Shapes:
        (3, num_drawn) each, edges, sources and targets -> (3, num_edges), (num_edges,) bool each.
    """
    joined = torch.cat(list(drawn), dim=1)
    ids, place = joined[0].unique(return_inverse=True)
    result = joined.new_empty(3, len(ids))
    result[:, place] = joined
    drew = []
    for part in place.split([each.shape[1] for each in drawn]):
        drew.append(torch.zeros(len(ids), dtype=torch.bool))
        drew[-1][part] = True
    return result, drew


def _part(
    name: str, edges: Tensor, nodes: Mapping[str, Tensor], drew: Mapping[End, Tensor]
) -> Relation:
    """Some edges of a relation between the nodes reached, each with its shares in the means.

    Args:
        name: The relation.
        edges: (3, num_edges), edges, sources and targets in the full graph.
        nodes: Those reached, by side.
        drew: Of each end that takes a mean (num_edges,) bool, whether it drew the edge.
    """
    sides = _SIDES[name]
    local = [
        torch.searchsorted(nodes[side], ids.contiguous())
        for side, ids in zip(sides, edges[1:], strict=True)
    ]
    graph = dgl.heterograph(
        {(sides[0], name, sides[1]): tuple(local)}, {side: len(nodes[side]) for side in sides}
    )
    source, target = (
        _share(ids, drew[end]) if end in drew else None
        for end, ids in zip((SOURCE, TARGET), local, strict=True)
    )
    return Relation(graph, source, target)


def _share(node: Tensor, own: Tensor) -> Tensor | None:
    """Share of each edge in the mean at one of its ends; None where all of a node's are equal.

    Args:
        node: (num_edges,) that end.
        own: (num_edges,) bool, whether it drew the edge.

    Returns:
        (num_edges, 1); 0 for an edge that only the other end drew, unless this one drew none.
    """
    size = int(node.max()) + 1 if len(node) else 0
    drew = torch.bincount(node[own], minlength=size) > 0
    counted = own | ~drew[node]
    if counted.all():
        return None
    return (counted / torch.bincount(node[counted], minlength=size)[node]).unsqueeze(1)
