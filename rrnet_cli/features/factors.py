"""What all matrix factorisations here share: biases, factors, damping, the fit."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rrnet_cli.features.rating_data import FloatArray, IntArray, RatingData
from rrnet_cli.features.sparse_products import SparseMatrix, pair_products, weighted_squares

RATE = 0.01
MAX_STEPS = 1500
EVERY = 5
PATIENCE = 60
"""Adam on all ratings at once; judged on SELECT every 5 steps, ended 60 steps after the best."""

SPREAD = 0.1
"""Standard deviation of the factors at the start."""


@dataclass(frozen=True)
class Damping:
    """Of the biases of users and of items, as in `features.rating_bias`, and of the factors."""

    users: float
    items: float
    factors: float


@dataclass(frozen=True)
class RatingFactors:
    """A fitted factorisation.

    Attributes:
        mean: Of the fitted ratings.
        user_bias, item_bias: (num_users,) and (num_items,) float64.
        left, right: x (num_users, dim) and y (num_items, dim) float64.
        scale: Predictions are clipped to it.
        steps: How many steps it was fitted for.
    """

    mean: float
    user_bias: FloatArray
    item_bias: FloatArray
    left: FloatArray
    right: FloatArray
    scale: tuple[float, float]
    steps: int

    def predict(self, user: IntArray, item: IntArray) -> FloatArray:
        """The clipped rating of each pair, (n,)."""
        product = np.einsum("nd,nd->n", self.left[user], self.right[item])
        rating = self.mean + self.user_bias[user] + self.item_bias[item] + product
        return np.asarray(np.clip(rating, *self.scale))


class Factors(nn.Module):
    """mu + b_u + b_i + x_u · y_i; subclasses say what x and y are made of.

    The methods were published with or without biases; here all have them, without which none
    reaches the bias model on FilmTrust. They are damped like that model's, so that with enough
    damping of the factors each of the methods is that model. Damped together with the factors, as
    most papers write it, biases are too free or too tight: on Ciao worse than no factors at all.

    Args:
        data: Gives sizes, counts and the mean.
        dim: Of the factors.
        damping: That of the factors is λ; each user's and item's is weighted by the square root of
            its number of ratings (Guo et al. 2015: many ratings, less damping each).
    """

    def __init__(self, data: RatingData, dim: int, damping: Damping) -> None:
        super().__init__()
        self.mean = float(data.rating.mean())
        self.damping, self.dim = damping, dim
        self.user = torch.from_numpy(data.user.copy())
        self.item = torch.from_numpy(data.item.copy())
        self.rating = torch.from_numpy(data.rating.copy())
        self.links = torch.from_numpy(data.links.copy())
        self.user_count = torch.bincount(self.user, minlength=data.num_users).float()
        self.item_count = torch.bincount(self.item, minlength=data.num_items).float()
        self.user_bias = nn.Parameter(torch.zeros(data.num_users))
        self.item_bias = nn.Parameter(torch.zeros(data.num_items))

    def table(self, rows: int) -> nn.Parameter:
        """Fresh factors (rows, dim) from the global generator."""
        return nn.Parameter(torch.randn(rows, self.dim) * SPREAD)

    @abstractmethod
    def sides(self) -> tuple[Tensor, Tensor]:
        """X (num_users, dim) and y (num_items, dim)."""

    @abstractmethod
    def penalty(self) -> Tensor:
        """All of the objective but squared errors and the damping of biases; scalar."""

    def damped(self, value: Tensor, count: Tensor) -> Tensor:
        """λ Σ sqrt(count) |value|², rows without a rating as if they had one; scalar."""
        return self.damping.factors * weighted_squares(value, count.clamp_min(1).sqrt())

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Ratings (n,) of pairs."""
        left, right = self.sides()
        bias = self.user_bias.index_select(0, user) + self.item_bias.index_select(0, item)
        return self.mean + bias + pair_products(left, right, user, item)

    def objective(self) -> Tensor:
        """Σ squared errors + dampings + what is the method's own; scalar."""
        error = self(self.user, self.item) - self.rating
        total: Tensor = error.square().sum() + self.bias_penalty() + self.penalty()
        return total

    def bias_penalty(self) -> Tensor:
        """Damping of the biases; scalar."""
        of_users = self.damping.users * self.user_bias.square().sum()
        return of_users + self.damping.items * self.item_bias.square().sum()


def neighbour_sum(places: Tensor, value: Tensor, shape: tuple[int, int]) -> SparseMatrix:
    """Sparse matrix of a shape, for sums over neighbours.

    Args:
        places: (2, n) int64 rows and columns.
        value: (n,) float32.
        shape: Of the matrix.
    """
    rows, columns = places.numpy()
    return SparseMatrix(rows, columns, value.numpy(), shape)


def fit_factors(model: Factors, data: RatingData, steps: int | None = None) -> RatingFactors:
    """Fit by Adam.

    Args:
        model: Trained in place, on the ratings that it was made of.
        data: Its select ratings end the fit; the step of the best RMSE is kept.
        steps: So many instead, and the last is kept: no select rating is read.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    best, best_step, kept = math.inf, 0, copy.deepcopy(model.state_dict())
    for step in range(MAX_STEPS if steps is None else steps):
        if steps is None and step % EVERY == 0:
            rmse = select_rmse(model, data)
            if rmse < best:
                best, best_step, kept = rmse, step, copy.deepcopy(model.state_dict())
            elif not math.isfinite(rmse) or step - best_step >= PATIENCE:
                break
        optimizer.zero_grad()
        (model.objective() / len(model.rating)).backward()
        optimizer.step()
    if steps is None:
        model.load_state_dict(kept)
    with torch.no_grad():
        left, right = model.sides()
    return RatingFactors(
        mean=model.mean,
        user_bias=_array(model.user_bias),
        item_bias=_array(model.item_bias),
        left=_array(left),
        right=_array(right),
        scale=data.scale,
        steps=best_step if steps is None else steps,
    )


def _array(tensor: Tensor) -> FloatArray:
    return np.asarray(tensor.detach().double().numpy())


def select_rmse(model: Factors, data: RatingData) -> float:
    """RMSE of a model, as it is, on the select ratings."""
    pairs = torch.from_numpy(data.select_user.copy()), torch.from_numpy(data.select_item.copy())
    with torch.no_grad():
        error = model(*pairs).clamp(*data.scale) - torch.from_numpy(data.select_rating.copy())
    return float(error.double().square().mean().sqrt())
