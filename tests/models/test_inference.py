from __future__ import annotations

from dataclasses import replace

import dgl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.models.inference import logits_in_blocks
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rrnet import GraphInputs, RRNet, Shape

from .graphs import toy

STACKS = st.lists(st.sampled_from(["intra", "inter"]), max_size=5)


def sorted_by_target(inputs: GraphInputs) -> GraphInputs:
    """The same relations with their edges in the order in which graphs are stored, int32."""
    relations = {}
    for name, relation in inputs.relations.items():
        src, dst = relation.forward.edges(order="eid")
        order = torch.argsort(dst, stable=True)
        (kind,) = relation.forward.canonical_etypes
        counts = {node: relation.forward.num_nodes(node) for node in {kind[0], kind[2]}}
        first = torch.zeros(counts[kind[2]] + 1, dtype=torch.int32)
        first[1:] = torch.bincount(dst, minlength=counts[kind[2]]).cumsum(0)
        csc = (first, src[order].int(), torch.empty(0, dtype=torch.int32))
        relations[name] = Relation.of(
            dgl.heterograph({kind: ("csc", csc)}, counts, idtype=torch.int32)
        )
    return replace(inputs, relations=relations)


@given(
    seed=st.integers(0, 10_000),
    stack=STACKS,
    with_right=st.booleans(),
    is_sorted=st.booleans(),
    extra=st.integers(0, 3),
    size=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_blocks_give_the_ordinary_logits(
    seed: int, stack: list[str], with_right: bool, is_sorted: bool, extra: int, size: int
) -> None:
    inputs = toy(seed, with_right=with_right).inputs()
    generator = torch.Generator().manual_seed(seed)
    count = inputs.relations["inter"].num_edges
    if extra:
        columns = torch.randn(count, extra, generator=generator, dtype=torch.float64)
        inputs = replace(inputs, edge_inputs={"inter": columns}, offset=columns[:, 0])
    if is_sorted:
        inputs = sorted_by_target(inputs)
    torch.manual_seed(seed)
    net = RRNet(Shape.of(inputs), stack, hidden=8, init="torch").double()
    torch.testing.assert_close(
        logits_in_blocks(net, inputs, size), net(inputs), rtol=1e-9, atol=1e-9
    )


def test_a_hub_of_a_million_edges_keeps_its_mean() -> None:
    """Where every edge is alike, so is every answer."""
    count = 2**20
    ends = torch.arange(count), torch.zeros(count, dtype=torch.int64)
    graph = dgl.heterograph({("left", "inter", "right"): ends}, {"left": count, "right": 1})
    feat = {"left": torch.ones(count, 2), "right": torch.ones(1, 2)}
    inputs = GraphInputs({"inter": Relation.of(graph)}, feat)
    torch.manual_seed(0)
    net = RRNet(Shape.of(inputs), ["inter", "inter"])
    one = dgl.heterograph({("left", "inter", "right"): ([0], [0])}, {"left": 1, "right": 1})
    alone = GraphInputs({"inter": Relation.of(one)}, {side: v[:1] for side, v in feat.items()})
    expected = net(alone).detach().expand(count)
    torch.testing.assert_close(logits_in_blocks(net, inputs), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_sorted", [True, False])
def test_ends_are_those_of_the_graph(is_sorted: bool) -> None:
    inputs = toy(3).inputs()
    relation = (sorted_by_target(inputs) if is_sorted else inputs).relations["inter"]
    src, dst = relation.forward.edges(order="eid")
    for start in range(relation.num_edges):
        for stop in range(start, relation.num_edges + 1):
            ours = relation.ends(start, stop)
            assert torch.equal(ours[0], src[start:stop]) and torch.equal(ours[1], dst[start:stop])
