"""The prior of a rating pair: SVD++, biases and factors with the rated items as feedback.

The stronger of the two baselines for ratings. Like the biases (`features.rating_bias`) it can be
fitted on any part of the ratings, so that RR-Net can be trained beside a prior that has not seen
what is masked.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from rrnet_cli.errors import InputError
from rrnet_cli.features.factors import Factors, RatingFactors, fit_factors, neighbour_sum
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.progress import Reporter

DIM = 10
GRID = (0.8, 1.0, 1.2, 1.5, 2.0)
"""Dampings tried where none is given."""


class ImplicitFactors(Factors):
    r"""SVD++ (Koren 2008).

    .. math:: x_u = p_u + |I_u|^{-1/2} \sum_{i \in I_u} y_i

    Damping follows LibRec, which adds it at every rating: a `y` is damped once a rating of each
    user who rated its item. Damped like the other factors, once a rating of the item, it overfits.
    """

    def __init__(self, data: RatingData, dim: int, reg: float) -> None:
        super().__init__(data, dim, reg)
        num_users, num_items = data.num_users, data.num_items
        self.left, self.right = self.table(num_users), self.table(num_items)
        # from zero: a sum of many random vectors would be noise that takes long to unlearn
        self.implicit = nn.Parameter(torch.zeros(num_items, dim))
        self.rated = neighbour_sum(
            torch.stack([self.user, self.item]),
            self.user_count[self.user].rsqrt(),
            (num_users, num_items),
        )
        # how many ratings are predicted with each y
        self.item_uses = torch.zeros(num_items).index_add_(0, self.item, self.user_count[self.user])

    def sides(self) -> tuple[Tensor, Tensor]:
        """Own and rated; and q."""
        return self.left + torch.sparse.mm(self.rated, self.implicit), self.right

    def penalty(self) -> Tensor:
        """Damping of all three."""
        own = self.damped(self.left, self.user_count) + self.damped(self.right, self.item_count)
        weight = self.item_uses * self.item_count.clamp_min(1).rsqrt()
        return own + self.reg * weighted_squares(self.implicit, weight)


def weighted_squares(value: Tensor, weight: Tensor) -> Tensor:
    """Σ weight |value|² of rows (n, dim) and their weights (n,); scalar."""
    total: Tensor = (weight * value.square().sum(1)).sum()
    return total


def fit_rating_factors(data: RatingData, reg: float, steps: int | None, seed: int) -> RatingFactors:
    """Fit at one damping.

    Args:
        data: Ratings, one or more; the select ones are read where `steps` is None.
        reg: Damping, above 0.
        steps: See `fit_factors`.
        seed: Of the factors' start; the global generator is left as it was.

    Raises:
        InputError: No ratings.
    """
    if not len(data.rating):
        raise InputError("there are no ratings to fit on")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return fit_factors(ImplicitFactors(data, DIM, reg), data, steps)


def choose_rating_factors(
    data: RatingData, reg: float | None, seed: int, reporter: Reporter
) -> tuple[RatingFactors, float]:
    """Fit with the given damping, or the one of `GRID` that is best on the select ratings.

    Returns:
        The factors, their number of steps chosen on select too, and the damping.

    Raises:
        InputError: No ratings to fit on, or none to choose on.
    """
    if not len(data.select_rating):
        raise InputError("there are no ratings to choose the damping and the steps on")
    grid = GRID if reg is None else (reg,)
    best: tuple[RatingFactors, float] | None = None
    best_rmse = math.inf
    with reporter.task("rating-factors", len(grid), "damping") as task:
        for tried in grid:
            factors = fit_rating_factors(data, tried, None, seed)
            predicted = factors.predict(data.select_user, data.select_item)
            rmse = float(np.sqrt(np.square(predicted - data.select_rating).mean()))
            task.advance(status=f"rmse {rmse:.4f}")
            if best is None or rmse < best_rmse:
                best, best_rmse = (factors, tried), rmse
    assert best is not None
    return best
