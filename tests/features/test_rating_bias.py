"""The bias model against the linear system that it solves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.errors import InputError
from rrnet_cli.features.rating_bias import GRID, RatingTable, choose_bias, errors, fit_bias

SCALE = (1.0, 5.0)


def random_table(rng, num_users, num_items, num_ratings) -> RatingTable:
    user = rng.integers(0, num_users, num_ratings)
    item = rng.integers(0, num_items, num_ratings)
    return RatingTable(user, item, rng.uniform(*SCALE, num_ratings).astype(np.float32))


def ridge(table, num_users, num_items, user_reg, item_reg):
    """The normal equations of the same sum, solved whole."""
    design = np.zeros((len(table.user), num_users + num_items))
    rows = np.arange(len(table.user))
    design[rows, table.user] = 1
    design[rows, num_users + table.item] = 1
    penalty = np.diag([user_reg] * num_users + [item_reg] * num_items)
    rating = table.rating.astype(np.float64)
    biases = np.linalg.solve(design.T @ design + penalty, design.T @ (rating - rating.mean()))
    return biases[:num_users], biases[num_users:]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    user_reg=st.floats(0.5, 20),
    item_reg=st.floats(0.5, 20),
    num_ratings=st.integers(1, 60),
)
def test_equals_ridge_regression(seed, user_reg, item_reg, num_ratings):
    table = random_table(np.random.default_rng(seed), 6, 5, num_ratings)
    model = fit_bias(table, 6, 5, scale=SCALE, user_reg=user_reg, item_reg=item_reg)
    users, items = ridge(table, 6, 5, user_reg, item_reg)
    np.testing.assert_allclose(model.user_bias, users, atol=1e-4)
    np.testing.assert_allclose(model.item_bias, items, atol=1e-4)


def test_predictions_are_clipped_and_unknown_ones_are_the_mean():
    table = RatingTable(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([5, 5, 1], np.float32))
    model = fit_bias(table, 3, 3, scale=SCALE, user_reg=0.01, item_reg=0.01)
    predicted = model.predict(np.array([0, 2, 1]), np.array([1, 2, 0]))
    assert predicted[0] == pytest.approx(5, abs=0.1)
    assert predicted[1] == pytest.approx(11 / 3)
    assert (predicted >= 1).all() and (predicted <= 5).all()


def test_no_damping_at_all_is_finite():
    table = RatingTable(np.array([0]), np.array([0]), np.array([3], np.float32))
    model = fit_bias(table, 2, 2, scale=SCALE, user_reg=0, item_reg=0)
    assert model.predict(np.array([0, 1]), np.array([0, 1])) == pytest.approx([3, 3])


def test_choice_is_the_best_of_the_grid_on_select():
    rng = np.random.default_rng(0)
    fit, select = random_table(rng, 20, 15, 120), random_table(rng, 20, 15, 40)
    model = choose_bias(fit, select, 20, 15, scale=SCALE)
    chosen = errors(model, select)[1]
    others = [
        errors(fit_bias(fit, 20, 15, scale=SCALE, user_reg=u, item_reg=i), select)[1]
        for u in GRID
        for i in GRID
    ]
    assert chosen == min(others)


def test_a_given_damping_is_kept():
    rng = np.random.default_rng(0)
    fit, select = random_table(rng, 20, 15, 120), random_table(rng, 20, 15, 40)
    model = choose_bias(fit, select, 20, 15, scale=SCALE, user_reg=7.0)
    assert model.user_reg == 7.0
    assert model.item_reg in GRID
    both = choose_bias(fit, select, 20, 15, scale=SCALE, user_reg=7.0, item_reg=0.25)
    assert (both.user_reg, both.item_reg) == (7.0, 0.25)


def test_errors_by_hand():
    table = RatingTable(np.array([0, 0]), np.array([0, 1]), np.array([2, 4], np.float32))
    model = fit_bias(table, 1, 2, scale=SCALE, user_reg=1e12, item_reg=1e12)
    assert errors(model, table) == pytest.approx((1.0, 1.0))
    empty = RatingTable(*(np.array([], dtype) for dtype in (np.int64, np.int64, np.float32)))
    assert np.isnan(errors(model, empty)).all()
    with pytest.raises(InputError, match="no ratings to fit"):
        fit_bias(empty, 1, 1, scale=SCALE, user_reg=1, item_reg=1)
    with pytest.raises(InputError, match="no ratings to choose"):
        choose_bias(table, empty, 1, 2, scale=SCALE)


def test_nan_is_refused():
    table = RatingTable(np.array([0, 0]), np.array([0, 1]), np.array([2, np.nan], np.float32))
    with pytest.raises(InputError, match="rating 1 is not a finite number"):
        fit_bias(table, 1, 2, scale=SCALE, user_reg=1, item_reg=1)
