"""Steps on parts of the graph: some instances, and what reaches them within a few hops.

As in ShaDow the whole model works on the subgraph around the seeds, and only their inter-edges
supervise. In hop h every node that the hop before reached (the seeds at first) draws `fanout[h]`
of the edges that it takes a mean over, of each relation; a seed draws all of its inter-edges.

Eq. (8) takes the mean of d edges. A node draws m = min(fan-out, d) of them by a uniform choice
without replacement, so each is among them with probability m / d, and the expectation of the mean
of those drawn, sum over edges of (m / d) (e / m), is the full mean, whatever the edges hold.
An edge is in the subgraph also where only its other end drew it. It would bias the mean (every
seed's edge reaches its label for certain), so it has no part in it. Where means are of some
inter-edges alone (`Relation.counting`), d is the number of these, and they alone are drawn. What
the MLPs make of an unbiased mean is as biased as they are curved.

Nodes that only the last hop reached draw nothing: theirs is the mean of what others drew, and zero
over intra-edges, which the node that receives them draws. The answer on a seed's edge depends on
nodes as far away as the stack has units, and on the farthest by their own attributes alone: with
as many hops as units no such mean is read. What no such answer depends on is neither drawn, where
that follows from the stack, nor computed (`subgraph`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dgl
import torch
from torch import Tensor

from rrnet_cli.models.engines.base import SOURCE, End
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rows import rows_of
from rrnet_cli.models.rrnet import INTER, LEFT, RIGHT, SIDES, GraphInputs
from rrnet_cli.training.processes import ALONE, Group
from rrnet_cli.training.subgraph import (
    ENDS,
    Edges,
    Sample,
    arranged,
    last_reader,
    other_side,
    read_until,
    side_of,
)

Draw = Callable[[str, End, Tensor, int], Tensor]
"""A relation, the end that draws, its nodes (num_nodes,) and how many edges each draws (-1: all),
to the edges drawn and their sources and targets, (3, num_drawn) int64."""
Heard = Callable[[Tensor], Tensor]
"""Inter-edges (num,) to whether the means are of them, (num,) bool."""


@dataclass(frozen=True)
class Batch:
    """What one step reads.

    Attributes:
        inputs: Of the network.
        target: (num_logits,), as `Problem.target`.
        supervised: (num_logits,) bool.
        candidates: (num_instances, num_candidates) logits of each instance that may supervise;
            None for ratings.
    """

    inputs: GraphInputs
    target: Tensor
    supervised: Tensor
    candidates: Tensor | None


def batches(
    whole: Batch,
    owner: Tensor,
    size: int,
    fanout: Sequence[int],
    units: Sequence[str],
    group: Group = ALONE,
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
        units: See `sample`.
        group: Who shares each batch; what is given is the share of this process, which is empty
            where there are fewer seeds than processes.
    """
    supervises = torch.zeros(whole.inputs.node_feat[LEFT].shape[0], dtype=torch.bool)
    supervises[owner[whole.supervised]] = True
    seeds = supervises.nonzero()[:, 0].to(owner.dtype)
    for some in seeds[torch.randperm(len(seeds))].split(size):
        with group.own_stream():
            part = _around(whole, group.own(some), fanout, units)
        yield part


def _around(whole: Batch, seeds: Tensor, fanout: Sequence[int], units: Sequence[str]) -> Batch:
    """The part of the epoch that some seeds supervise."""
    full = whole.inputs
    part = sample(full.relations, seeds, fanout, units)
    asked = part.edges[INTER][: part.num_asked]
    rows = None if whole.candidates is None else whole.candidates[seeds]
    return Batch(
        GraphInputs(
            part.relations,
            {side: rows_of(full.node_feat[side], ids) for side, ids in part.nodes.items()},
            {name: rows_of(value, part.edges[name]) for name, value in full.edge_inputs.items()},
            None if full.offset is None else full.offset[asked],
            part.units,
        ),
        whole.target[asked],
        whole.supervised[asked],
        None if rows is None else torch.searchsorted(asked, rows),
    )


def sample(
    relations: Mapping[str, Relation], seeds: Tensor, fanout: Sequence[int], units: Sequence[str]
) -> Sample:
    """The subgraph around some left nodes; see the module for what it estimates.

    Args:
        relations: Of the full graph, as `GraphInputs.relations`.
        seeds: (num_seeds,) left nodes.
        fanout: Edges that a node draws of each relation, for each hop; -1 for all.
        units: The stack, as `RRNet` takes it: what no unit reads is not drawn.
    """
    # Means at both ends are of the same edges: `Relation.counting`.
    counted = relations[INTER].counted.get(SOURCE)

    def draw(name: str, end: End, nodes: Tensor, count: int) -> Tensor:
        # Who draws all needs no more than that: seeds ask for edges that are not heard too.
        among = counted if name == INTER and count != -1 else None
        return _draw(relations[name].forward, nodes, end, count, among)

    return surroundings(
        draw,
        tuple(relations),
        dict(zip((LEFT, RIGHT), relations[INTER].sizes, strict=True)),
        seeds,
        fanout,
        units,
        None if counted is None else counted.__getitem__,
    )


def surroundings(
    draw: Draw,
    relations: Collection[str],
    sizes: Mapping[str, int],
    seeds: Tensor,
    fanout: Sequence[int],
    units: Sequence[str],
    heard: Heard | None = None,
) -> Sample:
    """`sample`, wherever the edges are.

    Args:
        draw: Gives the edges that some nodes draw.
        relations: Which there are.
        sizes: Number of nodes of `left` and of `right` in the full graph.
        seeds: (num_seeds,) left nodes.
        fanout: As in `sample`.
        units: As in `sample`.
        heard: Of which inter-edges the means are; None for all. Of what a node drew its mean is of
            those, so one that drew none of them has no mean: `draw` had best draw them alone.
    """
    reached = {side: _Reached(size) for side, size in sizes.items()}
    new = {LEFT: reached[LEFT].add(seeds), RIGHT: seeds.new_empty(0)}
    reads = read_until(units, relations)
    names = [name for name in ENDS if name in relations]
    drawn = {name: {end: [seeds.new_empty(3, 0)] for end in ENDS[name]} for name in names}
    num_asked = 0
    for hop, size in enumerate(fanout):
        found = {side: [seeds.new_empty(0)] for side in reached}
        for name in names:
            for end in ENDS[name]:
                asks, other = side_of(name, end), other_side(name, end)
                of_seeds = hop == 0 and name == INTER
                until = reads[hop][asks] if hop < len(reads) else 0
                if not len(new[asks]) or not (of_seeds or last_reader(units, name, until)):
                    continue
                chosen = draw(name, end, new[asks], -1 if of_seeds else size)
                if of_seeds:
                    chosen = chosen[:, chosen[0].argsort()]
                    num_asked = chosen.shape[1]
                drawn[name][end].append(chosen)
                found[other].append(chosen[2 if end == SOURCE else 1])
        new = {side: nodes.add(torch.cat(found[side])) for side, nodes in reached.items()}
    # Sources' are first, and the seeds' the first of them.
    edges = {
        name: _edges(name, ends, reached, heard if name == INTER else None)
        for name, ends in drawn.items()
    }
    nodes = {side: some.ids for side, some in reached.items()}
    return arranged(nodes, edges, num_asked, units)


def _edges(
    name: str,
    drawn: Mapping[End, Sequence[Tensor]],
    reached: Mapping[str, _Reached],
    heard: Heard | None,
) -> Edges:
    """All edges of a relation that its ends drew, (3, num_drawn) each time."""
    ids, source, target = torch.cat([some for each in drawn.values() for some in each], dim=1)
    counts = [sum(some.shape[1] for some in each) for each in drawn.values()]
    by = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    left, right = (reached[side] for side in SIDES[name])
    return Edges(
        ids,
        (left.number(source), right.number(target)),
        {end: by == number for number, end in enumerate(drawn)},
        None if heard is None else heard(ids),
    )


class _Reached:
    """The nodes of a side that a sample has reached, numbered in the order of their arrival.

    The table of numbers has a place for every node of the full graph and is never cleared: a number
    counts where the node of that number is the one that asks (Briggs and Torczon, "An efficient
    representation for sparse sets", 1993). So nothing here takes time that grows with the graph.

    Attributes:
        ids: (num_reached,) in the full graph.
    """

    def __init__(self, size: int) -> None:
        self.ids = torch.empty(0, dtype=torch.int64)
        self._number = torch.empty(size, dtype=torch.int32)

    def add(self, found: Tensor) -> Tensor:
        """Reach some nodes, (num_found,), and give those that are new, once each and ascending."""
        if len(self.ids):
            number = self.number(found).clamp(0, len(self.ids) - 1)
            found = found[self.ids[number] != found]
        new: Tensor = found.unique()
        self._number[new] = torch.arange(
            len(self.ids), len(self.ids) + len(new), dtype=self._number.dtype
        )
        self.ids = torch.cat([self.ids, new])
        return new

    def number(self, nodes: Tensor) -> Tensor:
        """Numbers of nodes that were reached, anything of others: (num_nodes,) int64."""
        return self._number.index_select(0, nodes).long()


def _draw(graph: dgl.DGLGraph, nodes: Tensor, end: End, count: int, among: Tensor | None) -> Tensor:
    """What a `Draw` gives, of one relation of a graph in memory; of some edges (bool) or of all.

    On one thread, because DGL's generators are one a thread: what is drawn is then the same
    whatever the machine. It starts from torch's generator, whose state checkpoints keep.
    """
    seed = int(torch.randint(2**31 - 1, ()))
    kind = (graph.srctypes if end == SOURCE else graph.dsttypes)[0]
    chance = None if among is None else "among"
    if among is not None:
        graph = graph.local_var()
        graph.edata["among"] = among
    threads = dgl.utils.get_num_threads()
    dgl.utils.set_num_threads(1)
    try:
        dgl.seed(seed)
        drawn = dgl.sampling.sample_neighbors(
            graph, {kind: nodes}, count, edge_dir="out" if end == SOURCE else "in", prob=chance
        )
    finally:
        dgl.utils.set_num_threads(threads)
    return torch.stack([drawn.edata[dgl.EID], *drawn.edges(order="eid")])
