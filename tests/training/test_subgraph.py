"""Of a sample no more is computed than the logits depend on, and they are those of all of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rrnet_cli.models import engines
from rrnet_cli.models.engines.base import SOURCE, TARGET
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rrnet import INTER, LEFT, RIGHT, GraphInputs, RRNet, Shape
from rrnet_cli.training.subgraph import ENDS, Edges, Sample, arranged

WIDTHS = {LEFT: 3, RIGHT: 2}
SIZES = {LEFT: 9, RIGHT: 5}


def drawn(seed: int) -> tuple[dict[str, Tensor], dict[str, Edges]]:
    """Nodes and edges as if drawn, each by one end; some nodes drew nothing.

    Of every other draw the means are of some inter-edges alone.
    """
    draw = torch.Generator().manual_seed(seed)
    edges = {}
    for name, (left, right) in {
        LEFT: (LEFT, LEFT),
        RIGHT: (RIGHT, RIGHT),
        INTER: (LEFT, RIGHT),
    }.items():
        count = int(torch.randint(0, 15, (), generator=draw)) + 4 * (name == INTER)
        ends = [torch.randint(SIZES[side], (count,), generator=draw) for side in (left, right)]
        by = torch.randint(len(ENDS[name]), (count,), generator=draw)
        drew = {end: by == which for which, end in enumerate(ENDS[name])}
        heard = torch.rand(count, generator=draw) < 0.6 if name == INTER and seed % 2 else None
        edges[name] = Edges(torch.arange(100, 100 + count), (ends[0], ends[1]), drew, heard)
    return {side: torch.arange(size) + 50 for side, size in SIZES.items()}, edges


def logits_of_all(
    network: RRNet, feat: dict[str, Tensor], extra: Tensor, edges: dict[str, Edges]
) -> Tensor:
    """What all units make of all nodes and edges."""
    relations = {
        name: Relation(
            one.ends,
            {LEFT: (9, 9), RIGHT: (5, 5), INTER: (9, 5)}[name],
            {end: which for end in ENDS[name] if (which := one.counted(end)) is not None},
        )
        for name, one in edges.items()
    }
    answer: Tensor = network(GraphInputs(relations, feat, {INTER: extra}))
    return answer


def network_of(units: tuple[str, ...], engine: str) -> RRNet:
    torch.manual_seed(1)
    shape = Shape(WIDTHS, (INTER, LEFT, RIGHT), {INTER: 2})
    return RRNet(shape, units, 4, engine=engines.choose(engine)).double()


def gradients(logits: Tensor, network: RRNet) -> list[Tensor]:
    """Of all parameters; zero where nothing depends on one."""
    weights = torch.arange(1.0, len(logits) + 1).double()
    parameters = list(network.parameters())
    found = torch.autograd.grad(logits @ weights, parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    ]


@pytest.mark.parametrize("engine", ["fused", "dgl", "reference"])
@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.lists(st.sampled_from(["inter", "intra"]), max_size=5),
    st.integers(0, 4),
)
def test_logits_and_gradients_are_those_of_all_units_on_all_of_the_sample(
    engine: str, seed: int, stack: list[str], asked: int
) -> None:
    nodes, edges = drawn(seed)
    network = network_of(tuple(stack), engine)
    feat = {side: torch.randn(size, WIDTHS[side]).double() for side, size in SIZES.items()}
    extra = torch.randn(len(edges[INTER].ids), 2).double()
    expected = logits_of_all(network, feat, extra, edges)[:asked]
    part = arranged(nodes, edges, asked, stack)
    ours = network(
        GraphInputs(
            part.relations,
            {side: feat[side][ids - 50] for side, ids in part.nodes.items()},
            {INTER: extra[part.edges[INTER] - 100]},
            units=part.units,
        )
    )
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    for mine, full in zip(gradients(ours, network), gradients(expected, network), strict=True):
        torch.testing.assert_close(mine, full, rtol=1e-9, atol=1e-9)


def chain() -> Sample:
    """Seed 0 drew node 1, and that node 2; node 3 drew node 0, and nobody it. One label."""
    intra = Edges(
        torch.arange(3),
        (torch.tensor([1, 2, 0]), torch.tensor([0, 1, 3])),
        {TARGET: torch.ones(3).bool()},
    )
    by_source = torch.tensor([True, True, False])
    inter = Edges(
        torch.arange(3),
        (torch.tensor([0, 1, 2]), torch.tensor([0, 0, 0])),
        {SOURCE: by_source, TARGET: ~by_source},
    )
    nodes = {LEFT: torch.tensor([7, 5, 6, 4]), RIGHT: torch.tensor([0])}
    return arranged(nodes, {LEFT: intra, INTER: inter}, 1, ("intra", "inter", "intra", "inter"))


def test_what_nothing_depends_on_is_left_out_and_the_rest_is_computed_as_long_as_it_is_read() -> (
    None
):
    part = chain()
    assert part.nodes[LEFT].tolist() == [7, 5, 6], "the seed first; node 4 reaches no seed"
    assert part.edges[LEFT].tolist() == [0, 1]
    sizes = [{n: (r.num_edges, r.sizes) for n, r in unit.items()} for unit in part.units]
    assert sizes == [
        # All intra-edges, to the three nodes whose states the second unit reads.
        {LEFT: (2, (3, 3))},
        # The seed's edge, its neighbour's and the label's: their means are read.
        {INTER: (3, (3, 1))},
        {LEFT: (1, (2, 1))},
        {INTER: (1, (1, 1))},
    ]
    assert part.units[1][INTER].counted.keys() == {TARGET}, "all sources read drew all their edges"
    assert part.units[3][INTER].counted == {}


@pytest.mark.parametrize("unit", ["inter", "intra"])
def test_one_unit_reads_the_seeds_edges_alone(unit: str) -> None:
    nodes, edges = drawn(3)
    asked = 3
    part = arranged(nodes, edges, asked, (unit,))
    assert [len(ids) for ids in part.edges.values()] == [0, 0, asked]
    joined = {int(end) for end in edges[INTER].ends[0][:asked]}
    assert set((part.nodes[LEFT] - 50).tolist()) == joined
