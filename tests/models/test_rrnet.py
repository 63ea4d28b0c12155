from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rrnet import GraphInputs, RRNet, Shape, count_parameters

from .graphs import Toy, toy
from .literal import Literal

STACKS = [["intra", "inter"], ["intra", "inter", "intra", "inter", "inter"], ["inter"], []]


def network(example: Toy, units: list[str], **options: object) -> RRNet:
    torch.manual_seed(0)
    # float64 isolates the algebra from rounding
    return RRNet(Shape.of(example.inputs()), units, hidden=8, **options).double()  # type: ignore[arg-type]


@pytest.mark.parametrize("units", STACKS, ids=lambda units: "-".join(units) or "none")
@pytest.mark.parametrize("with_right", [True, False])
@pytest.mark.parametrize("init", ["he", "torch"])
def test_factorised_equals_the_literal_concatenation(
    units: list[str], with_right: bool, init: str
) -> None:
    example = toy(1, with_right=with_right)
    net = network(example, units, init=init)
    for parameter in net.parameters():  # biases start at zero: make them matter
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    weights = torch.randn(len(example.edges["inter"][0]), dtype=torch.float64)

    (net(example.inputs()) * weights).sum().backward()
    ours = {name: parameter.grad for name, parameter in net.named_parameters()}
    leaves = {n: p.detach().clone().requires_grad_() for n, p in net.named_parameters()}
    expected = Literal(leaves, units)(example.raw, example.edges)
    (expected * weights).sum().backward()

    torch.testing.assert_close(net(example.inputs()), expected, rtol=1e-9, atol=1e-9)
    for name, leaf in leaves.items():
        if leaf.grad is None:  # the node layers of the last unit do not reach the decoder
            assert ours[name] is None or not ours[name].any(), name
        else:
            torch.testing.assert_close(ours[name], leaf.grad, rtol=1e-7, atol=1e-9, msg=name)


def test_float32_stays_within_1e_5_of_the_literal_form() -> None:
    example = toy(3, dtype=torch.float32)
    torch.manual_seed(0)
    net = RRNet(Shape.of(example.inputs()), ["intra", "inter"], hidden=16)
    expected = Literal(dict(net.named_parameters()), ["intra", "inter"])(example.raw, example.edges)
    torch.testing.assert_close(net(example.inputs()), expected, rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 10_000), order=st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_renumbering_nodes_and_edges_renumbers_the_answers(seed: int, order: object) -> None:
    example = toy(seed)
    net = network(example, ["intra", "inter", "inter"])
    rename = {}
    for side, feat in example.raw.items():
        new = list(range(len(feat)))
        order.shuffle(new)  # type: ignore[attr-defined]
        rename[side] = new
    raw = {}
    for side, feat in example.raw.items():
        moved = torch.empty_like(feat)
        moved[rename[side]] = feat
        raw[side] = moved
    ends = {"left": ("left", "left"), "right": ("right", "right"), "inter": ("left", "right")}
    edges, places = {}, {}
    for name, (src, dst) in example.edges.items():
        place = list(range(len(src)))
        order.shuffle(place)  # type: ignore[attr-defined]
        places[name] = place
        source, target = ends[name]
        edges[name] = (
            [rename[source][src[i]] for i in place],
            [rename[target][dst[i]] for i in place],
        )
    moved_answers = net(Toy(raw, edges).inputs())
    torch.testing.assert_close(moved_answers, net(example.inputs())[places["inter"]])


def test_gradients_match_finite_differences() -> None:
    example = toy(5, left=4, right=3)
    net = network(example, ["intra", "inter"])
    inputs = example.inputs()
    left = example.raw["left"].clone().requires_grad_()

    def answer(value: torch.Tensor) -> torch.Tensor:
        return net(GraphInputs(inputs.relations, {**example.raw, "left": value}))

    assert torch.autograd.gradcheck(answer, (left,), eps=1e-6, atol=1e-5)


def test_a_zero_decoder_answers_the_offset() -> None:
    example = toy(2)
    inputs = example.inputs()
    offset = torch.randn(inputs.relations["inter"].num_edges, dtype=torch.float64)
    with_offset = GraphInputs(inputs.relations, inputs.node_feat, offset=offset)
    net = network(example, ["intra", "inter"], zero_decoder=True)
    torch.testing.assert_close(net(with_offset), offset, rtol=0, atol=0)
    decoder = [p for n, p in net.named_parameters() if n.startswith("decoder.head")]
    net(with_offset).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder[1:])


def test_extra_edge_attributes_enter_the_encoder() -> None:
    example = toy(4)
    inputs = example.inputs()
    extra = {"inter": torch.randn(inputs.relations["inter"].num_edges, 2, dtype=torch.float64)}
    with_extra = GraphInputs(inputs.relations, inputs.node_feat, extra)
    torch.manual_seed(0)
    net = RRNet(Shape.of(with_extra), ["inter"], hidden=8).double()
    changed = GraphInputs(inputs.relations, inputs.node_feat, {"inter": extra["inter"] + 1})
    assert not torch.allclose(net(with_extra), net(changed))


def test_parameter_count_of_the_paper_s_network() -> None:
    example = toy(0)
    net = network(example, ["intra", "inter"])
    h = 8

    def mlp(width: int, out: int = h) -> int:
        return width * h + h + h * out + out

    encoders = mlp(6) + mlp(4) + mlp(12) + mlp(8) + mlp(10)
    intra = 2 * (mlp(3 * h) + mlp(2 * h))
    inter = 2 * h * h + mlp(2 * h) + 2 * mlp(2 * h)
    assert count_parameters(net) == encoders + intra + inter + mlp(h, 1)


def test_without_units_only_the_inter_edges_are_encoded_and_decoded() -> None:
    def mlp(width: int, out: int) -> int:
        return width * 8 + 8 + 8 * out + out

    assert count_parameters(network(toy(0), [])) == mlp(10, 8) + mlp(8, 1)


@pytest.mark.parametrize("seed", range(5))
def test_without_units_an_answer_depends_on_its_own_pair_alone(seed: int) -> None:
    """Others' attributes and all intra-edges change: with units the answer follows, without not."""
    example = toy(seed)
    src, dst = example.edges["inter"]
    generator = torch.Generator().manual_seed(seed)
    raw = {side: torch.roll(feat, 1, dims=0) for side, feat in example.raw.items()}
    raw["left"][src[0]], raw["right"][dst[0]] = (
        example.raw["left"][src[0]],
        example.raw["right"][dst[0]],
    )
    edges = {"inter": example.edges["inter"]}
    for side in ("left", "right"):
        place = torch.randperm(len(raw[side]), generator=generator).tolist()
        edges[side] = tuple([place[node] for node in ends] for ends in example.edges[side])
    changed = Toy(raw, edges)  # type: ignore[arg-type]

    def answers(units: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        net = network(example, units)
        return net(example.inputs())[0], net(changed.inputs())[0]

    before, after = answers([])
    assert torch.equal(before, after)
    before, after = answers(["inter", "inter"])
    assert not torch.allclose(before, after)


def test_means_over_no_edges_are_zero() -> None:
    import dgl

    graph = dgl.heterograph({("a", "r", "b"): ([0, 0], [1, 2])}, {"a": 2, "b": 4})
    relation = Relation.of(graph)
    edge_feat = torch.tensor([[2.0], [4.0]])
    assert relation.mean_to_target(edge_feat).tolist() == [[0.0], [2.0], [4.0], [0.0]]
    assert relation.mean_to_source(edge_feat).tolist() == [[3.0], [0.0]]


def test_no_tensor_of_a_step_is_as_wide_as_the_raw_attributes_on_every_edge() -> None:
    example = toy(6, left=30, right=20, dtype=torch.float32)
    wide = {side: torch.randn(len(feat), 64) for side, feat in example.raw.items()}
    inputs = Toy(wide, example.edges).inputs()
    torch.manual_seed(0)
    net = RRNet(Shape.of(inputs), ["intra", "inter"], hidden=4)
    largest = 0

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        net(inputs).sum().backward()
    num_edges = max(len(src) for src, _ in example.edges.values())
    assert 30 * 64 <= largest < num_edges * 64, "only the nodes may hold the raw width"
