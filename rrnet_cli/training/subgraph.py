"""A sample as the units read it: of each unit only what the logits of some inter-edges depend on.

From the last unit back, an edge's state depends on its own before and on those of its ends; a
node's on its own before and on the edges that it takes a mean over. So nodes that only the last hop
reached are read as they were encoded, by the edges that drew them, and the last unit has no more to
do than the seeds' own edges. Nodes and edges are numbered by how late they are read, the latest
first: what a unit computes is then a beginning of both, and nothing is copied from one unit to the
next. Logits and gradients are those of all units on all of the sample, but for rounding.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rrnet_cli.models.engines.base import SOURCE, TARGET, End
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rrnet import INTER, LEFT, RIGHT, SIDES

ENDS: Mapping[str, tuple[End, ...]] = {LEFT: (TARGET,), RIGHT: (TARGET,), INTER: (SOURCE, TARGET)}
"""Of each relation the ends whose nodes take a mean over it."""
_NEVER = -1


@dataclass(frozen=True)
class Sample:
    """A subgraph, its nodes and edges in the order described above.

    Attributes:
        nodes: Ids in the full graph of the nodes of `left` and `right`.
        edges: Ids in the full graph of the edges of each relation.
        num_asked: So many of the inter-edges, the first, are those whose logits are asked for.
        relations: All edges of each relation, between the nodes that they join.
        units: Of each unit the part of each relation that it computes.
    """

    nodes: Mapping[str, Tensor]
    edges: Mapping[str, Tensor]
    num_asked: int
    relations: Mapping[str, Relation]
    units: tuple[Mapping[str, Relation], ...]


@dataclass(frozen=True)
class Edges:
    """Edges of a relation. One that both its ends drew may be there twice.

    Attributes:
        ids: (num_edges,) in the full graph.
        ends: Number of the source and of the target in the sample, (num_edges,) each.
        drew: Of each end that takes a mean (num_edges,) bool, whether it drew the edge.
        heard: (num_edges,) bool, of which the means are; None for all.
    """

    ids: Tensor
    ends: tuple[Tensor, Tensor]
    drew: Mapping[End, Tensor]
    heard: Tensor | None = None

    def counted(self, end: End) -> Tensor | None:
        """Which edges the means at an end are of, (num_edges,) bool; None for all.

        Of those that are heard: what their node drew; all others' that lead to it if it drew none.
        """
        if bool(self.drew[end].all()):
            return self.heard
        node, own = self.ends[end == TARGET], self.drew[end]
        draws = torch.zeros(int(node.max()) + 1 if len(node) else 0, dtype=torch.bool)
        draws[node[own]] = True
        counted = own | ~draws[node]
        return counted if self.heard is None else counted & self.heard


def side_of(name: str, end: End) -> str:
    """The side of the nodes at an end of a relation."""
    return SIDES[name][end == TARGET]


def other_side(name: str, end: End) -> str:
    """The side of the nodes at the other end of a relation."""
    return SIDES[name][end == SOURCE]


def read_by(unit: str, relations: Iterable[str]) -> tuple[str, ...]:
    """The relations that a unit reads, of those there are."""
    return tuple(name for name in relations if (name == INTER) == (unit == "inter"))


def last_reader(units: Sequence[str], name: str, until: int) -> int:
    """The last unit up to `until` (from 1 on) that reads a relation; 0 if there is none."""
    return max((n for n in range(1, until + 1) if name in read_by(units[n - 1], [name])), default=0)


def read_until(units: Sequence[str], relations: Collection[str]) -> list[dict[str, int]]:
    """After which unit the nodes that a hop reaches are read at the latest, -1 never.

    A node that draws edges of a relation draws for the last unit before that reads it, and the
    other ends are read by that unit, as they were before it. What later hops reach again may be
    read later on that way, so a hop's nodes are read as late as those of any hop after it. With
    fewer hops than units a mean may be read at a node that has no hop left to draw in; it is then
    of what is there, whatever drew it.

    Returns:
        Of the seeds, of what the first hop reaches, and so on: the unit for `left` and `right`.
        What further hops reach is not read.
    """
    last = last_reader(units, INTER, len(units))
    hops = [{LEFT: last - 1, RIGHT: _NEVER}]
    reached = {LEFT: _NEVER, RIGHT: last - 1}  # by the seeds' own edges, besides what follows
    while max(hops[-1].values()) > 0 or max(reached.values()) > 0:
        for name in relations:
            for end in ENDS[name]:
                unit = last_reader(units, name, hops[-1][side_of(name, end)])
                other = other_side(name, end)
                reached[other] = max(reached[other], unit - 1)
        hops.append(reached)
        reached = {LEFT: _NEVER, RIGHT: _NEVER}
    for before, after in zip(hops[-2::-1], hops[::-1], strict=False):
        for side, unit in after.items():
            before[side] = max(before[side], unit)
    return hops


def arranged(
    nodes: Mapping[str, Tensor], edges: Mapping[str, Edges], num_asked: int, units: Sequence[str]
) -> Sample:
    """The sample of some nodes and edges, for the logits of the first inter-edges.

    Args:
        nodes: Ids in the full graph of the nodes of either side.
        edges: Of each relation.
        num_asked: How many inter-edges are asked for; they stay the first, in their order.
        units: The stack, as `RRNet` takes it.
    """
    counted = {
        name: {end: which for end in ENDS[name] if (which := one.counted(end)) is not None}
        for name, one in edges.items()
    }
    sizes = {side: len(ids) for side, ids in nodes.items()}
    reads = _Reads.of(sizes, edges, counted, num_asked, units)
    order = {side: _latest_first(last) for side, last in reads.nodes.items()}
    number = {side: _numbers(kept, sizes[side]) for side, kept in order.items()}
    parts = {}
    for name, one in edges.items():
        rows = _latest_first(reads.edges[name])
        source, target = (
            number[side][end[rows]] for side, end in zip(SIDES[name], one.ends, strict=True)
        )
        shown = {end: value[rows] for end, value in counted[name].items()}
        parts[name] = _Part(name, one.ids[rows], (source, target), shown, reads)
    return Sample(
        {side: ids[order[side]] for side, ids in nodes.items()},
        {name: part.ids for name, part in parts.items()},
        num_asked,
        {name: part.whole() for name, part in parts.items()},
        tuple(
            {name: parts[name].of_unit(number) for name in read_by(unit, parts)}
            for number, unit in enumerate(units, start=1)
        ),
    )


@dataclass(frozen=True)
class _Reads:
    """After which unit a state is read for the last time: 0 as it was encoded, -1 never.

    Attributes:
        nodes: Of each side, (num_nodes,) int16.
        edges: Of each relation, (num_edges,) int16.
    """

    nodes: Mapping[str, Tensor]
    edges: Mapping[str, Tensor]

    @classmethod
    def of(
        cls,
        sizes: Mapping[str, int],
        edges: Mapping[str, Edges],
        counted: Mapping[str, Mapping[End, Tensor]],
        num_asked: int,
        units: Sequence[str],
    ) -> _Reads:
        """Follow from the edges that are asked for to what they depend on; see `arranged`."""
        nodes = {
            side: torch.full((size,), _NEVER, dtype=torch.int16) for side, size in sizes.items()
        }
        last = {
            name: torch.full((len(one.ids),), _NEVER, dtype=torch.int16)
            for name, one in edges.items()
        }
        last[INTER][:num_asked] = len(units)
        # Read, but their ends are not yet known to be.
        fresh = {name: value > _NEVER for name, value in last.items()}

        def follow(name: str, number: int) -> None:
            for side, end in zip(SIDES[name], edges[name].ends, strict=True):
                ids = end[fresh[name]]
                nodes[side][ids[nodes[side][ids] == _NEVER]] = number
            fresh[name].zero_()

        for number in range(len(units), 0, -1):
            for name in read_by(units[number - 1], edges):
                for end in ENDS[name]:
                    after = nodes[side_of(name, end)] >= number
                    wanted = after[edges[name].ends[end == TARGET]] & (last[name] == _NEVER)
                    if end in counted[name]:
                        wanted &= counted[name][end]
                    last[name][wanted] = number
                    fresh[name] |= wanted
                follow(name, number - 1)
        for name in edges:  # raw attributes of the ends, where no unit reads the relation
            follow(name, 0)
        return cls(nodes, last)

    def after(self, side: str, number: int) -> int:
        """How many nodes are read after a unit."""
        return int((self.nodes[side] >= number).sum())


@dataclass(frozen=True)
class _Part:
    """A relation of a sample, in its order; attributes as of `Edges`, `counted` by end."""

    name: str
    ids: Tensor
    ends: tuple[Tensor, Tensor]
    counted: Mapping[End, Tensor]
    reads: _Reads

    def whole(self) -> Relation:
        """All edges, between as many nodes as they join."""
        sources, targets = (int(end.max()) + 1 if len(end) else 0 for end in self.ends)
        return Relation(self.ends, (sources, targets))

    def of_unit(self, number: int) -> Relation:
        """What a unit computes."""
        left, right = SIDES[self.name]
        sources = self.reads.after(left, number - 1)
        # An intra unit gives its targets new states, and those alone.
        targets = self.reads.after(right, number - (self.name == INTER))
        count = int((self.reads.edges[self.name] >= number).sum())
        ends = (self.ends[0][:count], self.ends[1][:count])
        counted = {
            end: which[:count]
            for end, which in self.counted.items()
            if self._matters(end, ends[end == TARGET], ~which[:count], number)
        }
        return Relation(ends, (sources, targets), counted)

    def _matters(self, end: End, node: Tensor, apart: Tensor, number: int) -> bool:
        """Whether some edge is apart from a mean at an end that is read after the unit."""
        return bool((node < self.reads.after(side_of(self.name, end), number))[apart].any())


def _latest_first(last: Tensor) -> Tensor:
    """Places of what is read at all, by when it is last, then ascending."""
    levels = range(int(last.max()) if len(last) else _NEVER, _NEVER, -1)
    return torch.cat([last.new_empty(0).long(), *((last == n).nonzero()[:, 0] for n in levels)])


def _numbers(places: Tensor, size: int) -> Tensor:
    """The new number of each of `size` things: those at `places` are kept, in that order."""
    result = places.new_empty(size)
    result[places] = torch.arange(len(places))
    return result
