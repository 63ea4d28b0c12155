from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rrnet_cli.errors import InputError
from rrnet_cli.features.factors import Damping
from rrnet_cli.features.rating_baseline import choose, refit
from rrnet_cli.features.rating_bias import RatingTable, fit_bias
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.features.rating_factors import (
    ImplicitFactors,
    choose_rating_factors,
    fit_rating_factors,
)
from rrnet_cli.progress import SilentReporter
from rrnet_cli.settings import BaselineSettings

SCALE = (1.0, 5.0)
DAMPING = Damping(users=2.0, items=3.0, factors=1.0)


def ratings(seed: int = 0, users: int = 40, items: int = 30) -> RatingData:
    """Ratings by bias and one factor; nine of ten fitted, the rest to select on."""
    rng = np.random.default_rng(seed)
    user, item = (ids.ravel() for ids in np.meshgrid(range(users), range(items), indexing="ij"))
    taste = rng.choice([-1.0, 1.0], users)[user] * rng.choice([-1.0, 1.0], items)[item]
    rating = 3 + rng.normal(0, 0.3, users)[user] + taste + rng.normal(0, 0.1, len(user))
    rating = np.clip(rating, *SCALE).astype(np.float32)
    fit = rng.random(len(user)) < 0.9
    return RatingData(
        users, items, SCALE, user[fit], item[fit], rating[fit],
        user[~fit], item[~fit], rating[~fit], np.zeros((2, 0), np.int64),
    )  # fmt: skip


def test_svdpp_is_its_formula() -> None:
    data = ratings(users=6, items=5)
    torch.manual_seed(0)
    model = ImplicitFactors(data, 3, Damping(2.0, 3.0, 0.7))
    torch.nn.init.normal_(model.implicit)
    left, right = model.sides()
    expected = torch.zeros(6, 3)
    for u in range(6):
        rated = data.item[data.user == u]
        expected[u] = model.left[u] + sum(model.implicit[i] for i in rated) / len(rated) ** 0.5
    torch.testing.assert_close(left, expected)
    assert right is model.right


def test_every_implicit_factor_is_damped_once_a_rating_of_who_rated_its_item() -> None:
    data = ratings(users=6, items=5)
    model = ImplicitFactors(data, 3, Damping(2.0, 3.0, 0.7))
    without = float(model.penalty())
    torch.nn.init.normal_(model.implicit)
    damped = 0.0
    for i in range(5):
        raters = data.user[data.item == i]
        uses = sum(int((data.user == u).sum()) for u in raters)
        damped += uses / len(raters) ** 0.5 * float(model.implicit[i].square().sum())
    assert float(model.penalty()) - without == pytest.approx(0.7 * damped, rel=1e-5)


def test_factors_find_what_biases_cannot() -> None:
    data = ratings()
    factors, damping = choose_rating_factors(data, 1.0, 1.0, None, 0, SilentReporter())
    bias = fit_bias(RatingTable(data.user, data.item, data.rating), 40, 30,
                    scale=SCALE, user_reg=1.0, item_reg=1.0)  # fmt: skip
    error, plain = (
        np.sqrt(
            np.square(m.predict(data.select_user, data.select_item) - data.select_rating).mean()
        )
        for m in (factors, bias)
    )
    assert error < 0.25 * plain and damping.factors > 0 and factors.steps > 0
    assert factors.predict(data.user, data.item).min() >= SCALE[0]


def test_a_refit_reads_no_select_rating_and_gives_the_same_again() -> None:
    data = ratings()
    settings = BaselineSettings(backbone="rating-factors", factor_reg=1.0)
    chosen = choose(settings, data, 3, SilentReporter())
    blind = replace(data, select_rating=np.full_like(data.select_rating, np.nan))
    again = refit(chosen.facts, blind)
    pairs = data.select_user, data.select_item
    np.testing.assert_array_equal(again.predict(*pairs), chosen.model.predict(*pairs))


def test_the_bias_baseline_is_refitted_too() -> None:
    data = ratings()
    chosen = choose(BaselineSettings(backbone="rating-bias"), data, 0, SilentReporter())
    again = refit({**chosen.facts, "fit_rmse": 1.0}, data)
    pairs = data.select_user, data.select_item
    np.testing.assert_array_equal(again.predict(*pairs), chosen.model.predict(*pairs))


def test_fitting_leaves_the_global_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit_rating_factors(ratings(users=5, items=4), DAMPING, 3, seed=0)
    assert torch.equal(torch.rand(3), expected)


def test_nothing_to_fit_on_or_to_choose_on_is_refused() -> None:
    data, none = ratings(users=5, items=4), np.zeros(0, np.int64)
    empty = replace(data, user=none, item=none, rating=np.zeros(0, np.float32))
    with pytest.raises(InputError, match="no ratings to fit"):
        fit_rating_factors(empty, DAMPING, 3, seed=0)
    unselected = replace(
        data, select_user=none, select_item=none, select_rating=np.zeros(0, np.float32)
    )
    with pytest.raises(InputError, match="no ratings to choose"):
        choose_rating_factors(unselected, 1.0, 1.0, 1.0, 0, SilentReporter())


def test_with_enough_damping_it_is_the_bias_model() -> None:
    data = ratings()
    bias = fit_bias(RatingTable(data.user, data.item, data.rating), 40, 30,
                    scale=SCALE, user_reg=2.0, item_reg=3.0)  # fmt: skip
    damped = fit_rating_factors(data, Damping(2.0, 3.0, 1e4), 2000, seed=0)
    pairs = data.select_user, data.select_item
    np.testing.assert_allclose(damped.predict(*pairs), bias.predict(*pairs), atol=2e-3)
