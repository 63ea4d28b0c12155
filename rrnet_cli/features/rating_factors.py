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
from rrnet_cli.features.factors import Damping, Factors, RatingFactors, fit_factors, neighbour_sum
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.features.sparse_products import weighted_squares
from rrnet_cli.progress import Reporter

DIM = 10
GRID = (0.8, 1.2, 1.5, 2.0, 3.0)
"""Dampings of the factors tried where none is given."""


class ImplicitFactors(Factors):
    r"""SVD++ (Koren 2008, eq. (15)).

    .. math:: x_u = p_u + |I_u|^{-1/2} \sum_{i \in I_u} y_i

    Damping follows LibRec, which adds it at every rating: a `y` is damped once a rating of each
    user who rated its item. Damped like the other factors, once a rating of the item, it overfits.
    """

    def __init__(self, data: RatingData, dim: int, damping: Damping) -> None:
        super().__init__(data, dim, damping)
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
        return self.left + self.rated @ self.implicit, self.right

    def penalty(self) -> Tensor:
        """Damping of all three."""
        own = self.damped(self.left, self.user_count) + self.damped(self.right, self.item_count)
        weight = self.item_uses * self.item_count.clamp_min(1).rsqrt()
        return own + self.damping.factors * weighted_squares(self.implicit, weight)


def fit_rating_factors(
    data: RatingData, damping: Damping, steps: int | None, seed: int
) -> RatingFactors:
    """Fit at one setting.

    Args:
        data: Ratings, one or more; the select ones are read where `steps` is None.
        damping: Each 0 or more.
        steps: See `fit_factors`.
        seed: Of the factors' start; the global generator is left as it was.

    Raises:
        InputError: No ratings.
    """
    if not len(data.rating):
        raise InputError("there are no ratings to fit on")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return fit_factors(ImplicitFactors(data, DIM, damping), data, steps)


def choose_rating_factors(
    data: RatingData, users: float, items: float, reg: float | None, seed: int, reporter: Reporter
) -> tuple[RatingFactors, Damping]:
    """Fit with the given dampings; that of the factors, if None, is the best of `GRID` on select.

    Args:
        data: Ratings to fit on and to choose on.
        users: Damping of user biases.
        items: Damping of item biases.
        reg: Damping of factors, or None.
        seed: See `fit_rating_factors`.
        reporter: Progress.

    Returns:
        The factors, whose number of steps is chosen on select too, and the dampings.

    Raises:
        InputError: No ratings to fit on, or none to choose on.
    """
    if not len(data.select_rating):
        raise InputError("there are no ratings to choose the damping and the steps on")
    grid = GRID if reg is None else (reg,)
    best: tuple[RatingFactors, Damping] | None = None
    best_rmse = math.inf
    with reporter.task("rating-factors", len(grid), "damping") as task:
        for tried in grid:
            damping = Damping(users, items, tried)
            factors = fit_rating_factors(data, damping, None, seed)
            predicted = factors.predict(data.select_user, data.select_item)
            rmse = float(np.sqrt(np.square(predicted - data.select_rating).mean()))
            task.advance(status=f"rmse {rmse:.4f}")
            if best is None or rmse < best_rmse:
                best, best_rmse = (factors, damping), rmse
    assert best is not None
    return best
