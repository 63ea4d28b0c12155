from __future__ import annotations

import dgl
import torch

from rrnet_cli.datasets.base import FIT, TEST
from rrnet_cli.settings import TrainSettings
from rrnet_cli.training.draws import draw
from rrnet_cli.training.problem import by_owner, degrees, standardise

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


def test_unknown_targets_become_zero_and_ratings_are_scaled() -> None:
    problem = rating()
    assert (problem.target[problem.role == TEST] == 0).all()
    assert problem.target.min() >= 0 and problem.target.max() <= 1
    assert torch.allclose(problem.prior, torch.zeros(()))  # 3 is the middle of 1..5


def test_by_owner_lists_each_left_node_s_edges() -> None:
    owner = torch.tensor([2, 0, 1, 0, 2, 1])
    assert by_owner(owner, 3).tolist() == [[1, 3], [2, 5], [0, 4]]


def test_standardise_matches_numpy_and_zeroes_constant_columns() -> None:
    value = torch.randn(50, 3) * torch.tensor([1.0, 30.0, 0.0]) + 5
    result = standardise(value)
    expected = (value.numpy() - value.numpy().mean(0)) / value.numpy().std(0).clip(1e-9)
    assert abs(result[:, :2].numpy() - expected[:, :2]).max() < 1e-4
    assert (result[:, 2] == 0).all()
