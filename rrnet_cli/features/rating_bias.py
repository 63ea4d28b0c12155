"""The prior of a rating pair: a regularised bias of its user and of its item.

``rating(u, i) ≈ mu + b_u + b_i`` with ``mu`` the mean of the fitted ratings and the biases the
minimum of ``Σ (rating - mu - b_u - b_i)² + user_reg Σ b_u² + item_reg Σ b_i²`` (Koren 2009). For
fixed item biases the best user biases are a damped mean, and the other way round, so alternating
the two closed forms descends to the one minimum of this convex sum.

The prior of a *fitted* pair is in-sample: its own rating is in both of its biases, so it is closer
to the truth than the prior of an unseen pair (FilmTrust: RMSE .75 against .80). Whatever learns
from the prior on fitted pairs must not take that for its reliability elsewhere; cross-fitting
(`features.cross_fit`) gives fitted pairs a prior without their own rating.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import InputError
from rrnet_cli.progress import Reporter, SilentReporter

GRID = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
"""Dampings tried for users and for items where they are not given."""

MAX_SWEEPS = 100
TOLERANCE = 1e-6
"""Sweeps end when no bias moves by more, in units of the rating scale's deviation."""

Index = NDArray[np.int64]


@dataclass(frozen=True)
class RatingBias:
    """A fitted bias model.

    Attributes:
        mean: Of the fitted ratings.
        user_bias: (num_users,) float64; 0 for users without a fitted rating.
        item_bias: (num_items,) float64; likewise.
        scale: Predictions are clipped to it.
        user_reg, item_reg: The dampings.
    """

    mean: float
    user_bias: NDArray[np.float64]
    item_bias: NDArray[np.float64]
    scale: tuple[float, float]
    user_reg: float
    item_reg: float

    def predict(self, user: Index, item: Index) -> NDArray[np.float64]:
        """The clipped rating of each pair, (n,)."""
        return np.clip(self.mean + self.user_bias[user] + self.item_bias[item], *self.scale)


@dataclass(frozen=True)
class RatingTable:
    """Ratings to fit or to choose on.

    Attributes:
        user, item: (n,) int64.
        rating: (n,).
    """

    user: Index
    item: Index
    rating: NDArray[np.float32]


def fit_bias(
    table: RatingTable,
    num_users: int,
    num_items: int,
    *,
    scale: tuple[float, float],
    user_reg: float,
    item_reg: float,
) -> RatingBias:
    """Fit the biases by alternating closed forms.

    Args:
        table: Ratings to fit, one or more.
        num_users: User numbers are below it.
        num_items: Item numbers are below it.
        scale: Lowest and highest rating.
        user_reg: Damping of user biases, 0 or more.
        item_reg: Damping of item biases, 0 or more.

    Raises:
        InputError: No ratings, or one that is not finite.
    """
    rating = np.asarray(table.rating, dtype=np.float64)
    if not len(rating):
        raise InputError("there are no ratings to fit on")
    if not np.isfinite(rating).all():
        raise InputError(f"rating {int(np.argmin(np.isfinite(rating)))} is not a finite number")
    mean = float(rating.mean())
    residual = rating - mean
    user_weight = _weight(np.bincount(table.user, minlength=num_users), user_reg)
    item_weight = _weight(np.bincount(table.item, minlength=num_items), item_reg)
    user_bias, item_bias = np.zeros(num_users), np.zeros(num_items)
    small = TOLERANCE * max(float(residual.std()), 1e-12)
    for _ in range(MAX_SWEEPS):
        before = item_bias
        user_bias = user_weight * np.bincount(
            table.user, residual - item_bias[table.item], minlength=num_users
        )
        item_bias = item_weight * np.bincount(
            table.item, residual - user_bias[table.user], minlength=num_items
        )
        if np.abs(item_bias - before).max() <= small:
            break
    return RatingBias(mean, user_bias, item_bias, scale, user_reg, item_reg)


def choose_bias(
    fit: RatingTable,
    select: RatingTable,
    num_users: int,
    num_items: int,
    *,
    scale: tuple[float, float],
    user_reg: float | None = None,
    item_reg: float | None = None,
    reporter: Reporter | None = None,
) -> RatingBias:
    """Fit with the given dampings; one that is None is chosen from `GRID` by RMSE on `select`.

    Args:
        fit: Ratings to fit.
        select: Ratings to choose on, one or more unless both dampings are given.
        num_users: User numbers are below it.
        num_items: Item numbers are below it.
        scale: Lowest and highest rating.
        user_reg: Damping of user biases, or None.
        item_reg: Damping of item biases, or None.
        reporter: Progress.

    Returns:
        The best fit; of equal ones the most damped.
    """
    user_grid = GRID if user_reg is None else (user_reg,)
    item_grid = GRID if item_reg is None else (item_reg,)
    pairs = [(u, i) for u in reversed(user_grid) for i in reversed(item_grid)]
    best: RatingBias | None = None
    best_rmse = np.inf
    with (reporter or SilentReporter()).task("rating bias", len(pairs), "fit") as task:
        for users, items in pairs:
            model = fit_bias(fit, num_users, num_items, scale=scale, user_reg=users, item_reg=items)
            if len(pairs) == 1:
                return model
            _, rmse = errors(model, select)
            task.advance(status=f"rmse {rmse:.4f}")
            if rmse < best_rmse:
                best, best_rmse = model, rmse
    if best is None:
        raise InputError("there are no ratings to choose the dampings on")
    return best


def errors(model: RatingBias, table: RatingTable) -> tuple[float, float]:
    """MAE and RMSE of eq. (10) over a table; NaN where it is empty."""
    return prediction_errors(model.predict(table.user, table.item), table.rating)


def prediction_errors(
    predicted: NDArray[np.float32] | NDArray[np.float64], rating: NDArray[np.float32]
) -> tuple[float, float]:
    """MAE and RMSE of predictions (n,) of ratings (n,); NaN where there are none."""
    if not len(rating):
        return float("nan"), float("nan")
    error = predicted - rating
    return float(np.abs(error).mean()), float(np.sqrt(np.square(error).mean()))


def _weight(count: Index, reg: float) -> NDArray[np.float64]:
    """1 / (count + reg), and 0 where nothing was rated (also when reg is 0)."""
    return np.where(count > 0, 1 / np.maximum(count + reg, 1e-12), 0.0)
