from __future__ import annotations

from dataclasses import replace

import dgl
import pytest
import torch

from rrnet_cli.datasets.base import FIT, TEST
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rrnet import INTER, GraphInputs
from rrnet_cli.settings import TrainSettings
from rrnet_cli.training.draws import draw
from rrnet_cli.training.network import Network
from rrnet_cli.training.problem import Problem, by_owner, degrees, standardise

from .problems import PLUS_SMALL, classification, rating, small


def test_a_supervised_target_is_not_in_the_inputs() -> None:
    """Changing the target of an edge that is not shown leaves every input as it was."""
    settings = small(**PLUS_SMALL)
    problem = classification()
    torch.manual_seed(1)
    drawn = draw(problem, settings)

    def given_inputs() -> torch.Tensor:
        inputs = problem.inputs(settings, drawn.known, problem.node_feat, drawn.prior)
        return inputs.edge_inputs["inter"]

    before = given_inputs()
    problem.target[drawn.supervised] = 1 - problem.target[drawn.supervised]
    assert torch.equal(before, given_inputs())
    problem.target[drawn.known] = 1 - problem.target[drawn.known]
    assert not torch.equal(before, given_inputs())


def test_a_masked_rating_is_in_no_input() -> None:
    """Neither as context nor through a prior that was fitted with it."""

    def inputs_of(settings: TrainSettings, shift: torch.Tensor | None) -> list[torch.Tensor]:
        problem = rating(shift=shift)
        torch.manual_seed(1)
        drawn = draw(problem, settings)
        inputs = problem.inputs(settings, drawn.known, problem.node_feat, drawn.prior)
        assert inputs.offset is not None
        return [inputs.edge_inputs["inter"], inputs.offset]

    settings = small(**PLUS_SMALL)
    torch.manual_seed(1)
    drawn = draw(rating(), settings)
    before = inputs_of(settings, None)
    for ours, theirs in zip(inputs_of(settings, drawn.supervised * 0.7), before, strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(inputs_of(settings, drawn.known * 0.7), before, strict=True):
        assert not torch.equal(ours, theirs)


@pytest.mark.parametrize("units", ["none", "inter,inter"])
def test_without_units_context_reaches_no_edge_but_its_own(units: str) -> None:
    """A shown target moves the answer of its own edge; with units also those that are asked for.

    Supervised edges and those of select and test are never shown, so that without units the
    context is an input that stays at zero wherever an answer counts.
    """
    settings = small(**PLUS_SMALL | {"refit_prior": False, "units": tuple(units.split(","))})
    for make in (classification, rating):
        problem = make()
        torch.manual_seed(3)
        network = Network(problem, settings).eval()
        for parameter in network.parameters():  # the decoder starts at zero: make it matter
            parameter.data.add_(0.1 * torch.randn_like(parameter))
        drawn = draw(problem, settings)
        known, prior = drawn.known, drawn.prior
        moved = [
            replace(problem, target=problem.target + 0.3 * who)
            for who in (drawn.supervised, drawn.known)
        ]
        with torch.no_grad():
            before, own, shown = (network(p, known, prior) for p in (problem, *moved))
        assert torch.equal(before, own), "no edge may see the target that it is judged by"
        assert not torch.equal(before[known], shown[known])
        assert torch.equal(before[~known], shown[~known]) == (units == "none")


def only(problem: Problem, kept: torch.Tensor) -> Problem:
    """The problem of some ratings alone."""
    source, target = problem.relations[INTER].forward.edges(order="eid")
    relation = Relation((source[kept], target[kept]), problem.relations[INTER].sizes)
    return replace(
        problem,
        relations={INTER: relation},
        target=problem.target[kept],
        role=problem.role[kept],
        prior=problem.prior[kept],
        owner=problem.owner[kept],
    )


@pytest.mark.parametrize("context", [True, False])
def test_that_a_pair_is_judged_tells_nothing_where_messages_are_of_known_ones(
    context: bool,
) -> None:
    """With select and test pairs taken out of the graph all other answers stay; else they move."""
    problem = rating()
    kept = problem.role == FIT
    answers = {}
    for messages in ("known", "all"):
        settings = small(units=("inter", "inter"), context=context, messages=messages)
        torch.manual_seed(3)
        network = Network(problem, settings)
        answers[messages] = network.predict(problem)[kept], network.predict(only(problem, kept))
    torch.testing.assert_close(*answers["known"])
    assert not torch.allclose(*answers["all"], atol=1e-3)


def test_pairs_that_supervise_are_heard_by_nobody() -> None:
    """Nor would they be at rest: a step without them answers as before on what is shown."""
    problem = rating()
    settings = small(units=("inter", "inter"), context=True, messages="known")
    torch.manual_seed(3)
    network = Network(problem, settings)
    drawn = draw(problem, settings)
    assert drawn.supervised.any()
    with torch.no_grad():
        ours = network(problem, drawn.known, drawn.prior)[drawn.known]
        shown = drawn.known[drawn.known]
        alone = network(only(problem, drawn.known), shown, drawn.prior[drawn.known])
    torch.testing.assert_close(ours, alone)


def test_degrees_count_fitted_edges() -> None:
    graph = dgl.heterograph(
        {("user", "inter", "item"): ([0, 0, 1, 2], [1, 0, 1, 1])}, {"user": 4, "item": 2}
    )
    graph.edges["inter"].data["role"] = torch.tensor([FIT, FIT, TEST, FIT], dtype=torch.int8)
    counted = degrees(graph, ("user", "item"))
    assert torch.allclose(counted["user"].exp() - 1, torch.tensor([[2.0], [0.0], [1.0], [0.0]]))
    assert torch.allclose(counted["item"].exp() - 1, torch.tensor([[1.0], [2.0]]))


def test_paper_preset_reads_neither_prior_nor_targets_nor_weights() -> None:
    inputs = classification().inputs(small(), torch.ones(1), {}, torch.zeros(1))
    assert inputs.edge_inputs == {} and inputs.offset is None


def test_the_answer_over_several_views_is_an_input_where_there_is_one_and_it_is_asked_for() -> None:
    problem = classification()
    several = replace(problem, views=torch.randn(len(problem.target)))

    def inputs(of: Problem, asked: str) -> GraphInputs:
        settings = small(**{**PLUS_SMALL, "views": asked})
        known = torch.zeros_like(of.target, dtype=torch.bool)
        return of.inputs(settings, known, of.node_feat, of.prior)

    without = inputs(problem, "none").edge_inputs[INTER]
    for of, asked in ((problem, "residual"), (several, "none")):
        assert torch.equal(inputs(of, asked).edge_inputs[INTER], without)
        assert inputs(of, asked).offset is of.prior
    assert several.views is not None
    for asked, start in (("input", several.prior), ("residual", several.views)):
        read = inputs(several, asked)
        added = read.edge_inputs[INTER]
        assert torch.equal(added[:, 1], standardise(several.views[:, None])[:, 0])
        assert torch.equal(added[:, [0, *range(2, added.shape[1])]], without)
        assert read.offset is start


def test_unknown_targets_become_zero_and_ratings_are_scaled() -> None:
    problem = rating()
    assert (problem.target[problem.role == TEST] == 0).all()
    assert problem.target.min() >= 0 and problem.target.max() <= 1
    assert torch.allclose(problem.prior, torch.zeros(()))  # 3 is the middle of 1..5


def test_by_owner_lists_each_left_node_s_edges() -> None:
    ends = torch.tensor([2, 0, 1, 0, 2, 1]), torch.tensor([1, 0, 0, 1, 0, 1])
    graph = dgl.heterograph({("image", "inter", "text"): ends}, {"image": 3, "text": 2})
    assert by_owner(Relation.of(graph)).tolist() == [[1, 3], [2, 5], [0, 4]]


def test_standardise_matches_numpy_and_zeroes_constant_columns() -> None:
    value = torch.randn(50, 3) * torch.tensor([1.0, 30.0, 0.0]) + 5
    result = standardise(value)
    expected = (value.numpy() - value.numpy().mean(0)) / value.numpy().std(0).clip(1e-9)
    assert abs(result[:, :2].numpy() - expected[:, :2]).max() < 1e-4
    assert (result[:, 2] == 0).all()
