"""Edge attributes in bfloat16 between layers, computed in float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rrnet_cli.models import engines
from rrnet_cli.models.engines.base import SOURCE, TARGET, Engine
from rrnet_cli.models.inference import logits_in_blocks
from rrnet_cli.models.layers import MLP
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rrnet import GraphInputs, RRNet, Shape
from tests.models.graphs import toy

from .relations import RELATIONS, some
from .test_engines import assert_near

HALF = torch.bfloat16
FULL = engines.choose("fused")
STORED = {name: engines.choose(name, HALF) for name in ("fused", "dgl", "reference")}
SPECIAL = (0.0, -0.0, 1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-8, 3.3e38, 1e-40,
           torch.inf, -torch.inf, torch.nan)  # fmt: skip
"""Ties to even in both directions, what rounds to infinity, what is denormal, what is no number."""


def layer(example: Relation, hidden: int) -> tuple[MLP, list[Tensor]]:
    """An edge layer, and its sources, targets and edges; these last can be stored as they are."""
    torch.manual_seed(0)
    mlp = MLP([hidden, hidden, hidden], hidden, hidden)
    for parameter in mlp.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    sizes = (*example.index.sizes, example.num_edges)
    values = [torch.randn(size, hidden) for size in sizes]
    values[2] = values[2].to(HALF).float()
    return mlp, values


def run(
    engine: Engine, example: Relation, mlp: MLP, values: list[Tensor], dtype: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """Results, and gradients by all leaves for gradients of the results that bfloat16 holds."""
    source, target, edge_feat = (value.clone().requires_grad_() for value in values)
    edge_feat = edge_feat.detach().to(dtype).requires_grad_()
    out, means = engine.edge_layer(example, (source, target), mlp, edge_feat, (SOURCE, TARGET))
    results = [out, means[SOURCE], means[TARGET]]
    torch.manual_seed(1)
    given = [torch.randn(each.shape).to(HALF).to(each.dtype) for each in results]
    leaves = [source, target, edge_feat, mlp.first.weight, *mlp.head.parameters()]
    return results, list(torch.autograd.grad(results, leaves, given))


@pytest.mark.parametrize("hidden", [3, 16])
@pytest.mark.parametrize("kind", [kind for kind in RELATIONS if "share" not in kind])
def test_all_is_that_of_wide_storage_rounded_once(kind: str, hidden: int) -> None:
    example = RELATIONS[kind]()
    mlp, values = layer(example, hidden)
    ours, theirs = (
        run(engine, example, mlp, values, dtype)
        for engine, dtype in ((STORED["fused"], HALF), (FULL, torch.float32))
    )
    assert ours[0][0].dtype == ours[1][2].dtype == HALF
    for mine, wide in zip([*ours[0], *ours[1]], [*theirs[0], *theirs[1]], strict=True):
        assert torch.equal(mine, wide.to(mine.dtype))


@pytest.mark.parametrize("name", ["dgl", "fused"])
@pytest.mark.parametrize("kind", RELATIONS)
def test_engines_agree(kind: str, name: str) -> None:
    example = RELATIONS[kind]()
    mlp, values = layer(example, 16)
    ours, plain = (run(STORED[each], example, mlp, values, HALF) for each in (name, "reference"))
    for mine, theirs in zip(ours, plain, strict=True):
        # what lies between two numbers of bfloat16 may be rounded to either: a few rows do
        assert_near([each.float() for each in mine], [each.float() for each in theirs], 1e-3)


@pytest.mark.parametrize("hidden", [3, 16])
def test_rounding_is_that_of_torch(hidden: int) -> None:
    example = some("target")
    mlp = MLP([4, 4, 0], hidden, hidden)
    torch.nn.init.zeros_(mlp.head.linear.weight)
    for value in SPECIAL:
        mlp.head.linear.bias.data[:] = value
        ends = tuple(torch.zeros(size, hidden) for size in example.index.sizes)
        out = STORED["fused"].encode(example, ends, mlp, None)  # type: ignore[arg-type]
        expected = torch.full(out.shape, value).to(HALF)
        assert torch.equal(out.isnan(), expected.isnan())
        assert out[~out.isnan()].tolist() == expected[~expected.isnan()].tolist()


@pytest.mark.parametrize("name", STORED)
def test_a_network_learns_the_same_but_for_rounding(name: str) -> None:
    inputs = toy(1, left=40, right=30, dtype=torch.float32).inputs()
    extra = {"inter": torch.randn(inputs.relations["inter"].num_edges, 2)}
    inputs = GraphInputs(inputs.relations, inputs.node_feat, extra)
    nets = []
    for engine in (FULL, STORED[name]):
        torch.manual_seed(0)
        net = RRNet(Shape.of(inputs), ["intra", "inter", "intra", "inter"], 16, engine=engine)
        logits = net(inputs)
        assert logits.dtype == torch.float32
        logits.square().sum().backward()
        nets.append([logits, *(p.grad for p in net.parameters() if p.grad is not None)])
        blocks = logits_in_blocks(net, inputs, size=50)
        assert_near([blocks], [logits.detach()], 1e-3)
    assert_near(nets[1], nets[0], 0.05)
    assert not torch.equal(nets[1][0], nets[0][0])


def test_what_is_kept_for_the_way_back_takes_half() -> None:
    inputs = toy(1, left=40, right=30, dtype=torch.float32).inputs()
    edges = {relation.num_edges for relation in inputs.relations.values()}
    kept = {}
    for storage in (None, HALF):
        net = RRNet(Shape.of(inputs), ["inter"] * 3, 16, engine=engines.choose("fused", storage))
        states: dict[int, int] = {}

        def keep(value: Tensor, states: dict[int, int] = states) -> Tensor:
            if value.ndim == 2 and len(value) in edges and value.shape[1] == 16:
                states[value.data_ptr()] = value.nbytes
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            net(inputs)
        kept[storage] = sum(states.values())
    assert kept[HALF] * 2 == kept[None] > 0
