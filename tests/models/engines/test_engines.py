"""Every engine against the reference, and the fused one against differences and doubles."""

from __future__ import annotations

import builtins
import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rrnet_cli.models import engines
from rrnet_cli.models.engines import edges
from rrnet_cli.models.engines.base import SOURCE, TARGET, End, Engine
from rrnet_cli.models.layers import MLP
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rrnet import GraphInputs, RRNet, Shape
from tests.models.graphs import toy

from .relations import RELATIONS, some

FUSED = engines.choose("fused")
DGL = engines.choose("dgl")
PLAIN = engines.choose("reference")
DEVICES = (
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
)
# Of 12 rows 8 are a tile and 4 are left over (AVX-512; of 5 rows 4 and 1 with AVX2); 1 fills no
# tile, 5 and 12 are pieces of 4 and 1, of 8 and 4, and 32 take several registers.
WIDTHS = (1, 5, 12, 16, 32)
BOTH: tuple[End, ...] = (SOURCE, TARGET)


class Layer:
    """One edge layer with all that its gradient is taken of."""

    def __init__(self, example: Relation, hidden: int, dtype: torch.dtype, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.relation = example
        self.mlp = MLP([hidden, hidden, hidden], hidden, hidden).to(dtype)
        for parameter in self.mlp.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
        sizes = (*example.index.sizes, example.num_edges)
        self.values = [torch.randn(n, hidden, dtype=dtype).requires_grad_() for n in sizes]
        self.weights = [torch.randn(n, hidden, dtype=dtype) for n in reversed(sizes)]

    def run(self, engine: Engine, means: tuple[End, ...] = BOTH) -> list[Tensor]:
        source, target, edge_feat = self.values
        out, mean = engine.edge_layer(self.relation, (source, target), self.mlp, edge_feat, means)
        return [out, *(mean[end] for end in means)]

    def gradients(self, results: list[Tensor]) -> list[Tensor]:
        """By every leaf, of a sum in which all results have weights of their own."""
        shapes = {len(weight): weight for weight in self.weights}
        total = sum((result * shapes[len(result)]).sum() for result in results)
        head = self.mlp.head.linear
        leaves = [*self.values, self.mlp.first.weight, head.weight, head.bias]
        assert isinstance(total, Tensor)
        return list(torch.autograd.grad(total, leaves))


def assert_near(ours: list[Tensor], plain: list[Tensor], relative: float) -> None:
    """Within a part of the norm; what cancels to nothing, within a smaller one of the largest."""
    largest = max(float(other.norm()) for other in plain)
    for one, other in zip(ours, plain, strict=True):
        assert one.shape == other.shape
        assert (one - other).norm() <= relative * (other.norm() + 1e-2 * largest)


@pytest.mark.parametrize("engine", [FUSED, DGL], ids=["fused", "dgl"])
@pytest.mark.parametrize("hidden", WIDTHS)
@pytest.mark.parametrize("kind", RELATIONS)
def test_the_edge_layer_and_every_gradient_are_those_of_the_reference(
    kind: str, hidden: int, engine: Engine
) -> None:
    layer = Layer(RELATIONS[kind](), hidden, torch.float32)
    ours, plain = layer.run(engine), layer.run(PLAIN)
    assert_near(ours, plain, 1e-5)
    assert_near(layer.gradients(ours), layer.gradients(plain), 1e-4)


@pytest.mark.parametrize("means", [(), (TARGET,), (SOURCE,)], ids=str)
def test_what_is_not_asked_for_is_not_needed(means: tuple[End, ...]) -> None:
    layer = Layer(some("target"), 12, torch.float64)
    ours, plain = layer.run(FUSED, means), layer.run(PLAIN, means)
    assert_near(layer.gradients(ours), layer.gradients(plain), 1e-12)
    if means:  # the last unit: nodes take the mean, but nothing reads the edges any more
        last = [layer.gradients(layer.run(engine, means)[1:]) for engine in (FUSED, PLAIN)]
        assert_near(*last, 1e-12)


@given(
    seed=st.integers(0, 10_000),
    num_edges=st.integers(0, 400),
    order=st.sampled_from(["source", "target", "none"]),
)
@settings(max_examples=40, deadline=None)
def test_any_number_of_edges_agrees_in_double_precision(
    seed: int, num_edges: int, order: str
) -> None:
    example = some(order, seed, num_edges=num_edges)
    layer = Layer(example, 12, torch.float64, seed)
    ours, plain = layer.run(FUSED), layer.run(PLAIN)
    assert_near(ours, plain, 1e-12)
    assert_near(layer.gradients(ours), layer.gradients(plain), 1e-10)


def test_gradients_are_finite_differences() -> None:
    layer = Layer(some("source", num_sources=4, num_targets=4, num_edges=6), 12, torch.double)
    leaves = (*layer.values, layer.mlp.first.weight, layer.mlp.head.linear.weight)
    assert torch.autograd.gradcheck(lambda *_: tuple(layer.run(FUSED)), leaves, atol=1e-6)


@pytest.mark.parametrize("extra", [0, 1, 3])
@pytest.mark.parametrize("hidden", WIDTHS)
@pytest.mark.parametrize("kind", ["in no order", "no edges", "complete by target"])
def test_encoder_and_decoder_are_those_of_the_reference(kind: str, hidden: int, extra: int) -> None:
    torch.manual_seed(0)
    example = RELATIONS[kind]()
    encoder, decoder = MLP([4, 4, extra], hidden, hidden), MLP([hidden], hidden, 1)
    for parameter in (*encoder.parameters(), *decoder.parameters()):
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    ends = tuple(torch.randn(n, hidden, requires_grad=True) for n in example.index.sizes)
    columns = torch.randn(example.num_edges, extra) if extra else None
    weights = torch.randn(example.num_edges)
    results, gradients = [], []
    for engine in (FUSED, PLAIN):
        encoded = engine.encode(example, ends, encoder, columns)  # type: ignore[arg-type]
        logits = engine.decode(decoder, encoded)
        leaves = [*ends, *encoder.head.parameters(), *decoder.parameters(), encoded]
        leaves += [encoder.first.weight] if extra else []
        results.append([encoded, logits])
        gradients.append(list(torch.autograd.grad((logits * weights).sum(), leaves)))
    assert_near(*results, 1e-5)
    assert_near(*gradients, 1e-4)


def test_extra_attributes_that_want_a_gradient_get_it() -> None:
    example, mlp = some("target"), MLP([4, 4, 2], 16, 16)
    ends = tuple(torch.randn(n, 16) for n in example.index.sizes)
    extra = torch.randn(example.num_edges, 2, requires_grad=True)
    of = [
        torch.autograd.grad(engine.encode(example, ends, mlp, extra).sum(), extra)  # type: ignore[arg-type]
        for engine in (FUSED, PLAIN)
    ]
    assert torch.equal(*(gradient for (gradient,) in of)) and of[0][0].any()


@pytest.mark.parametrize("kind", RELATIONS)
def test_threads_change_nothing_but_rounding_and_the_same_number_not_even_that(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = Layer(RELATIONS[kind](), 16, torch.float32)
    alone = layer.run(FUSED)
    alone += layer.gradients(alone)
    monkeypatch.setattr(edges, "_SMALL", -1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    results = []
    for _ in range(2):
        results.append(layer.run(FUSED))
        results[-1] += layer.gradients(results[-1])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert_near(results[0], alone, 1e-5)


def test_a_whole_network_is_that_of_the_reference() -> None:
    example = toy(1, left=40, right=30, dtype=torch.float32)
    inputs = example.inputs()
    extra = {"inter": torch.randn(inputs.relations["inter"].num_edges, 2)}
    inputs = GraphInputs(inputs.relations, inputs.node_feat, extra)
    nets = []
    for engine in (PLAIN, FUSED):
        torch.manual_seed(0)
        units = ["intra", "inter", "intra", "inter"]
        net = RRNet(Shape.of(inputs), units, 16, engine=engine)
        net(inputs).square().sum().backward()
        nets.append(net)
    plain, ours = ([p.grad for p in net.parameters()] for net in nets)
    reached = [(a, b) for a, b in zip(ours, plain, strict=True) if b is not None and b.any()]
    assert len(reached) > 20
    for one, other in reached:
        assert one is not None and other is not None
        assert_near([one], [other], 1e-4)


def test_nan_is_not_hidden() -> None:
    """`DivergedError` depends on it."""
    layer = Layer(some("none"), 16, torch.float32)
    layer.values[0].data[:] = torch.nan
    assert layer.run(FUSED)[0].isnan().all()


def test_strided_values_are_read_as_they_are() -> None:
    layer = Layer(some("none"), 12, torch.float64)
    layer.values = [value.detach().T.contiguous().T.requires_grad_() for value in layer.values]
    assert not layer.values[2].is_contiguous()
    ours, plain = layer.run(FUSED), layer.run(PLAIN)
    assert_near(ours, plain, 1e-12)
    assert_near(layer.gradients(ours), layer.gradients(plain), 1e-10)


def test_a_network_with_the_fused_engine_can_be_copied() -> None:
    inputs = toy(0, dtype=torch.float32).inputs()
    net = RRNet(Shape.of(inputs), ["intra", "inter"], 16, engine=FUSED)
    assert torch.equal(copy.deepcopy(net)(inputs), net(inputs))


def test_half_precision_goes_to_dgl() -> None:
    mlp = MLP([3], 3, 1).bfloat16()
    value = torch.randn(5, 3).bfloat16()
    assert torch.equal(FUSED.decode(mlp, value), DGL.decode(mlp, value))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["auto", "reference"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_network_on_any_device_is_the_reference_in_double_precision(
    device: str, name: str, dtype: torch.dtype
) -> None:
    """The graph itself stays where it is: on a GPU only the edge index is copied."""
    gradients = []
    for where, kind, engine in (
        (device, dtype, engines.choose(name)),
        ("cpu", torch.float64, PLAIN),
    ):
        inputs = toy(1, left=40, right=30, dtype=torch.float64).inputs()
        features = {k: v.to(where, kind) for k, v in inputs.node_feat.items()}
        inputs = GraphInputs(inputs.relations, features)
        torch.manual_seed(0)
        net = RRNet(Shape.of(inputs), ["intra", "inter", "intra", "inter"], 16, engine=engine)
        net.to(where, kind)(inputs).square().sum().backward()
        gradients.append([p.grad.cpu().double() for p in net.parameters() if p.grad is not None])
    assert_near(*gradients, 1e-4 if dtype == torch.float32 else 1e-10)


@pytest.mark.parametrize("device", DEVICES)
def test_a_mean_of_some_edges_on_any_device(device: str) -> None:
    layer = Layer(RELATIONS["some in the means"](), 5, torch.float64)
    expected = layer.run(DGL)
    layer.mlp.to(device)
    layer.values = [value.detach().to(device) for value in layer.values]
    assert_near([result.cpu() for result in layer.run(PLAIN)], expected, 1e-12)


def test_engines_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [engines.choose(name).name for name in engines.NAMES]
    assert chosen == ["fused", "dgl", "fused", "reference"]
    with pytest.raises(ValueError, match="'turbo' is none of auto, dgl, fused, reference"):
        engines.choose("turbo")
    real = builtins.__import__

    def without_numba(name: str, *args: object, **kwargs: object) -> object:
        if name == "rrnet_cli.models.engines.fused":
            raise ImportError("no module named numba")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_numba)
    assert engines.choose().name == "dgl"
    with pytest.raises(ImportError, match="numba does not work here"):
        engines.choose("fused")
