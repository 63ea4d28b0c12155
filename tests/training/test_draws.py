from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rrnet_cli.datasets.base import FIT, HOLD
from rrnet_cli.errors import ConfigError
from rrnet_cli.training.draws import Draws, draw

from .problems import PLUS_SMALL, classification, held, rating, small


@given(seed=st.integers(0, 999), rate=st.floats(0.05, 1.0))
def test_shown_and_supervised_edges_never_overlap_and_are_fitted(seed: int, rate: float) -> None:
    settings = small(**PLUS_SMALL | {"refit_prior": False}, mask_rate=rate)
    for problem in (classification(seed), rating(seed)):
        torch.manual_seed(seed)
        drawn = draw(problem, settings)
        known, supervised = drawn.known, drawn.supervised
        fit = problem.role == FIT
        assert not (known & supervised).any()
        assert torch.equal(known | supervised, fit)


def test_an_instance_is_masked_as_a_whole() -> None:
    problem = classification()
    torch.manual_seed(0)
    known = draw(problem, small(**PLUS_SMALL)).known
    assert problem.candidates is not None
    for row in problem.candidates:
        assert known[row].unique().numel() == 1


@given(seed=st.integers(0, 99), context=st.booleans())
def test_held_edges_alone_supervise_and_fitted_ones_are_shown(seed: int, context: bool) -> None:
    settings = small(**PLUS_SMALL | {"context": context})
    for problem in (held(classification(seed)), held(rating(seed))):
        drawn = draw(problem, settings)
        known, supervised = drawn.known, drawn.supervised
        assert supervised.any() and torch.equal(supervised, problem.role == HOLD)
        assert torch.equal(known, (problem.role == FIT) & context)
        assert torch.equal(known, problem.shown_at_rest(settings))


def test_only_a_refit_changes_the_prior() -> None:
    problem, settings = rating(), small(**PLUS_SMALL)
    assert not torch.equal(draw(problem, settings).prior, problem.prior)
    for stored in ({"refit_prior": False}, {"context": False}):
        unchanged = draw(problem, settings.model_copy(update=stored))
        assert unchanged.prior is problem.prior
    assert draw(held(problem), settings).prior is problem.prior


def test_the_prior_of_a_draw_is_that_of_the_baseline_fitted_on_what_it_shows() -> None:
    problem, settings = rating(), small(**PLUS_SMALL)
    drawn = draw(problem, settings)
    assert problem.refit is not None
    assert torch.equal(drawn.prior, problem.refit(drawn.known))


def test_few_refits_are_used_in_turn_and_do_not_depend_on_what_came_before() -> None:
    problem, settings = rating(), small(**PLUS_SMALL, refits=3)
    calls = []

    def refit(known: torch.Tensor) -> torch.Tensor:
        calls.append(known)
        return known.float()

    counted = replace(problem, refit=refit)
    draws = Draws(counted, settings)
    first = [draws.of(epoch) for epoch in (1, 2, 3)]
    assert [draws.of(epoch) for epoch in (4, 5, 6)] == first and len(calls) == 3
    assert len({tuple(d.known.tolist()) for d in first}) == 3
    torch.rand(5)
    resumed = Draws(counted, settings).of(5)
    assert torch.equal(resumed.known, first[1].known)
    other = Draws(counted, settings.model_copy(update={"seed": 1})).of(1)
    assert not torch.equal(other.known, first[0].known)


def test_drawing_kept_masks_leaves_the_generator_as_it_was() -> None:
    draws = Draws(rating(), small(**PLUS_SMALL, refits=2))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    draws.of(1)
    assert torch.equal(torch.rand(4), expected)


def test_a_refit_needs_something_shown() -> None:
    settings = small(**PLUS_SMALL | {"mask_rate": 1.0})
    with pytest.raises(ConfigError, match="nothing to fit the baseline on") as caught:
        draw(rating(), settings)
    assert "mask_rate (now 1)" in caught.value.hint
    assert not draw(classification(), settings).known.any()


def test_without_a_refit_every_epoch_draws_anew() -> None:
    draws = Draws(classification(), small(**PLUS_SMALL, refits=2))
    masks = {tuple(draws.of(1).known.tolist()) for _ in range(6)}
    assert len(masks) > 1
