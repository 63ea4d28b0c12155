from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import dgl
import pytest
import torch
from torch import Tensor

from rrnet_cli.models.engines.base import SOURCE, TARGET
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rows import StoredRows
from rrnet_cli.models.rrnet import INTER, LEFT, RIGHT, RRNet
from rrnet_cli.settings import TrainSettings
from rrnet_cli.training import sampling
from rrnet_cli.training.draws import draw
from rrnet_cli.training.network import Network
from rrnet_cli.training.objectives import training_loss
from rrnet_cli.training.problem import Problem
from rrnet_cli.training.sampling import Batch, batches, sample

from .problems import PLUS_SMALL, classification, held, rating, small

ALL = -1


def linked() -> Problem:
    """Classification with intra-edges on both sides and an answer over several views."""
    problem = classification(num_labels=8)
    ends = (torch.tensor([0, 1, 2, 3, 5, 6]), torch.tensor([1, 2, 3, 4, 6, 7]))
    labels = Relation.of(dgl.heterograph({("text", "intra", "text"): ends}, {"text": 8}))
    return replace(
        problem,
        relations={**problem.relations, RIGHT: labels},
        views=problem.prior + 0.3 * torch.randn(len(problem.prior)),
    )


PLUS = {**PLUS_SMALL, "units": ("inter", "intra", "inter"), "views": "residual"}
RATED = {**PLUS_SMALL, "units": ("inter", "inter", "inter"), "reduction": "mean"}
CASES: dict[str, tuple[Callable[[], Problem], dict[str, object]]] = {
    "paper": (linked, {}),
    "plus": (linked, {**PLUS, "objective": "softmax", "votes": True}),
    "no units": (linked, {**PLUS, "units": ()}),
    "held": (lambda: held(linked()), {**PLUS, "objective": "softmax", "votes": True}),
    "rating": (rating, {"units": ("inter", "inter")}),
    "rating plus": (rating, RATED),
    "rating degree": (rating, {**RATED, "attributes": "degree"}),
    "known messages": (rating, {**RATED, "messages": "known"}),
    "fitted messages": (lambda: held(rating()), {"units": ("inter",) * 3, "messages": "known"}),
    "known messages of classes": (linked, {**PLUS, "messages": "known"}),
}


def prepared(case: str, engine: str = "auto") -> tuple[Network, Problem, Batch]:
    """A network whose every parameter matters, and the full graph as an epoch shows it."""
    make, changes = CASES[case]
    torch.manual_seed(4)
    problem, settings = make(), small(**changes)
    network = Network(problem, settings, engine)
    for parameter in network.parameters():  # a residual decoder starts at zero
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    drawn = draw(problem, settings)
    inputs = network.inputs(problem, drawn.known, drawn.prior)
    return network, problem, Batch(inputs, problem.target, drawn.supervised, problem.candidates)


def loss_and_gradient(network: Network, batch: Batch) -> tuple[Tensor, list[Tensor]]:
    settings = network.settings
    logits = network.rrnet(batch.inputs)
    loss = training_loss(batch, logits, settings.objective, settings.reduction)
    return loss, list(torch.autograd.grad(loss, list(network.parameters()), allow_unused=True))


def hops(settings: TrainSettings, count: int = ALL) -> tuple[int, ...]:
    """As many as there are units, one at least."""
    return (count,) * max(1, len(settings.units))


@pytest.mark.parametrize("engine", ["fused", "dgl"])
@pytest.mark.parametrize("case", CASES)
def test_a_batch_of_all_with_all_neighbours_is_the_full_step(case: str, engine: str) -> None:
    network, problem, whole = prepared(case, engine)
    (batch,) = batches(whole, problem.owner, 10**6, hops(network.settings), network.settings.units)
    loss, gradient = loss_and_gradient(network, whole)
    ours, theirs = loss_and_gradient(network, batch)
    torch.testing.assert_close(ours, loss, rtol=1e-5, atol=0)
    for sampled, full in zip(theirs, gradient, strict=True):
        assert (sampled is None) == (full is None)
        if full is not None:
            assert (sampled - full).norm() <= 1e-5 * full.norm() + 1e-7


def numbered(
    network: Network, problem: Problem, whole: Batch, size: int, fanout: tuple[int, ...]
) -> list[Batch]:
    """The batches of an epoch, their targets replaced by the numbers of the edges."""
    tagged = replace(whole, target=torch.arange(len(problem.target)))
    return list(batches(tagged, problem.owner, size, fanout, network.settings.units))


@pytest.mark.parametrize("case", CASES)
def test_small_batches_answer_as_the_full_graph_where_nothing_is_left_out(case: str) -> None:
    network, problem, whole = prepared(case)
    logits = network.rrnet(whole.inputs)
    for batch in numbered(network, problem, whole, 3, hops(network.settings)):
        ours = network.rrnet(batch.inputs)[batch.supervised]
        expected = logits[batch.target[batch.supervised]]
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("limit", ["LARGE", "LARGE_FEATURES"])
@pytest.mark.parametrize("case", CASES)
def test_large_graphs_and_features_are_answered_for_by_blocks(
    case: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, problem, _ = prepared(case)
    logits = network.predict(problem)
    if not len(network.attributes):
        stored = {side: StoredRows.plain(feat) for side, feat in problem.node_feat.items()}
        problem = replace(problem, node_feat=stored)
        torch.testing.assert_close(network.predict(problem), logits, rtol=0, atol=0)
    monkeypatch.setattr(f"rrnet_cli.training.network.{limit}", 5)
    if len(network.attributes) and limit == "LARGE_FEATURES":  # learned ones are in memory anyway
        blocks = "rrnet_cli.training.network.logits_in_blocks"
        monkeypatch.setattr(blocks, lambda *_: pytest.fail("by blocks"))
    else:
        monkeypatch.setattr(RRNet, "forward", lambda *_: pytest.fail("all edges at once"))
    torch.testing.assert_close(network.predict(problem), logits, rtol=1e-5, atol=1e-5)


def test_a_hop_too_few_is_seen() -> None:
    network, problem, whole = prepared("rating")
    logits = network.rrnet(whole.inputs)[whole.supervised]
    (batch,) = batches(whole, problem.owner, 10**6, (1, 1), network.settings.units)
    assert not torch.allclose(network.rrnet(batch.inputs)[batch.supervised], logits, atol=1e-3)


@pytest.mark.parametrize("case", ["plus", "rating plus"])
def test_every_supervised_edge_supervises_once_an_epoch(case: str) -> None:
    network, problem, whole = prepared(case)
    parts = numbered(network, problem, whole, 4, (2, 2))
    seen = torch.cat([part.target[part.supervised] for part in parts])
    assert len(parts) > 2 and not torch.equal(seen, seen.sort().values)
    assert torch.equal(seen.sort().values, whole.supervised.nonzero()[:, 0])
    columns = whole.inputs.edge_inputs[INTER]
    for part in parts:
        owners = problem.owner[part.target[part.supervised]].unique()
        assert len(owners) <= 4
        theirs = torch.isin(problem.owner, owners).nonzero()[:, 0]
        assert torch.equal(part.target, theirs), "the logits are those of the seeds' inter-edges"
        assert torch.equal(part.inputs.edge_inputs[INTER][: len(theirs)], columns[theirs])
        if part.candidates is not None and problem.candidates is not None:
            rows = part.target[part.candidates]
            assert torch.equal(rows[rows[:, 0].argsort()], rows_of(problem.candidates, owners))
        assert network.rrnet(part.inputs).isfinite().all()


def rows_of(candidates: Tensor, owners: Tensor) -> Tensor:
    rows = candidates[owners]
    return rows[rows[:, 0].argsort()]


def places(some: Tensor, ids: Tensor) -> Tensor:
    return torch.tensor([ids.tolist().index(each) for each in some.tolist()])


@pytest.mark.parametrize("heard", [1.0, 0.3])
def test_means_over_what_a_node_drew_are_unbiased_and_over_what_is_there_are_not(
    heard: float,
) -> None:
    """Each edge has a fixed value; those of the seeds' edges, always there, are larger.

    Means may be of a part of the inter-edges, and are then of nothing at some nodes.
    """
    problem, seeds, runs = linked(), torch.tensor([3, 17, 40]), 1200
    torch.manual_seed(0)
    relations = dict(problem.relations)
    if heard < 1:
        chosen = torch.rand(relations[INTER].num_edges) < heard
        relations[INTER] = relations[INTER].counting(chosen | torch.isin(problem.owner, seeds))
    values = {name: torch.randn(edges.num_edges, 2) for name, edges in relations.items()}
    values[INTER][torch.isin(problem.owner, seeds)] += 3.0
    labels = relations[INTER].forward.out_edges(seeds)[1].unique()
    neighbours = relations[LEFT].forward.in_edges(seeds)[0].unique()
    # relation, side, who drew for certain (or did if there at all), which mean
    checked = [
        (INTER, RIGHT, labels, Relation.mean_to_target),
        (INTER, LEFT, neighbours, Relation.mean_to_source),
        (LEFT, LEFT, seeds, Relation.mean_to_target),
        (RIGHT, RIGHT, labels, Relation.mean_to_target),
    ]
    found: list[list[Tensor]] = [[] for _ in checked]
    naive = []
    for _ in range(runs):
        part = sample(relations, seeds, (ALL, 2), ("inter", "intra", "inter", "intra", "inter"))
        first = {**part.units[0], **part.units[1]}
        drawn = {
            name: values[name][part.edges[name][: first[name].num_edges]] for name in relations
        }
        for (name, side, nodes, mean), kept in zip(checked, found, strict=True):
            kept.append(mean(first[name], drawn[name])[places(nodes, part.nodes[side])])
        plain = Relation(first[INTER].given, first[INTER].sizes)
        naive.append(plain.mean_to_target(drawn[INTER])[places(labels, part.nodes[RIGHT])])

    def deviation(estimates: list[Tensor], full: Tensor) -> float:
        """The largest, in standard errors; what does not vary must be right."""
        drawn = torch.stack(estimates).double()
        error = drawn.std(dim=0) / runs**0.5 + 1e-7
        return float(((drawn.mean(dim=0) - full).abs() / error).max())

    for (name, _, nodes, mean), kept in zip(checked, found, strict=True):
        assert deviation(kept, mean(relations[name], values[name])[nodes]) < 4.5, name
    full = relations[INTER].mean_to_target(values[INTER])[labels]
    assert deviation(naive, full) > 20


def test_a_node_draws_no_more_than_the_fan_out_and_takes_its_mean_over_that() -> None:
    problem, seeds = rating(num_users=60), torch.tensor([1, 5, 9])
    inter = problem.relations[INTER]
    part = sample(problem.relations, seeds, (4, 4), ("inter", "inter"))
    relation = part.units[0][INTER]
    share, received = relation.share(TARGET, torch.float32), relation.forward.edges(order="eid")[1]
    assert share is not None
    degree = inter.forward.in_degrees(part.nodes[RIGHT])
    items = torch.isin(part.nodes[RIGHT], inter.forward.out_edges(seeds)[1])
    drew = torch.bincount(received[share[:, 0] > 0], minlength=len(degree))
    assert torch.equal(drew[items], degree[items].clamp_max(4)) and degree[items].max() > 4
    assert (torch.bincount(received, share[:, 0])[items] - 1).abs().max() < 1e-6
    own = torch.isin(inter.forward.find_edges(part.edges[INTER])[0], seeds).sum()
    assert len(part.edges[INTER]) <= own + 4 * int(items.sum())


def test_samples_depend_on_torch_s_generator_and_not_on_the_number_of_threads() -> None:
    problem, seeds = classification(num_left=200), torch.arange(0, 200, 2)

    def edges(seed: int, threads: int) -> Tensor:
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        drawn = sample(problem.relations, seeds, (2, 2), ("intra", "inter", "inter")).edges
        assert torch.get_num_threads() == threads
        return torch.cat([drawn[LEFT], drawn[INTER]])

    before = torch.get_num_threads()
    try:
        first = edges(1, 1)
        assert torch.equal(edges(1, 1), first) and torch.equal(edges(1, 2), first)
        assert not torch.equal(edges(2, 1), first)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "units",
    [
        (),
        ("intra",),
        ("inter",),
        ("inter", "intra", "inter"),
        ("intra", "inter", "intra", "inter", "inter"),
        # Seeds' neighbours are read by the first unit alone, unless labels draw them again.
        ("intra", "inter", "inter", "inter"),
        ("inter", "inter", "intra", "intra", "inter"),
    ],
)
def test_with_as_many_hops_as_units_what_is_not_drawn_is_what_no_unit_would_read(
    units: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, seeds, hops = linked(), torch.tensor([3, 17, 40]), max(1, len(units))
    ours = sample(problem.relations, seeds, (ALL,) * hops, units)
    calls = []
    late = [{LEFT: len(units), RIGHT: len(units)}] * hops
    monkeypatch.setattr(sampling, "read_until", lambda *_: calls.append(1) or late)
    theirs = sample(problem.relations, seeds, (ALL,) * hops, units)
    assert calls and ours.num_asked == theirs.num_asked
    for mine, full in ((ours.nodes, theirs.nodes), (ours.edges, theirs.edges)):
        assert {k: set(v.tolist()) for k, v in mine.items()} == {
            k: set(v.tolist()) for k, v in full.items()
        }
    sizes = [
        [{n: (r.num_edges, r.sizes, list(r.counted)) for n, r in unit.items()} for unit in s.units]
        for s in (ours, theirs)
    ]
    assert sizes[0] == sizes[1]


def test_a_hop_that_no_unit_reads_draws_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, asked = linked(), []
    real = sampling._draw

    def noted(graph: dgl.DGLGraph, nodes: Tensor, end: str, *how: object) -> Tensor:
        asked.append((graph.canonical_etypes[0], end))
        return real(graph, nodes, end, *how)

    monkeypatch.setattr(sampling, "_draw", noted)
    sample(problem.relations, torch.tensor([3, 17]), (2, 2), ("inter", "intra", "inter"))
    images, texts = ("image", "intra", "image"), ("text", "intra", "text")
    inter = ("image", "inter", "text")
    assert asked == [
        (images, TARGET),
        (inter, SOURCE),
        (texts, TARGET),
        (inter, SOURCE),
        (inter, TARGET),
    ]
