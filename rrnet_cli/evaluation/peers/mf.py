"""Matrix factorisation with biases and nothing else: the control of the social peers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rrnet_cli.evaluation.peers.base import Peer, Predict
from rrnet_cli.evaluation.peers.damping import damping_of
from rrnet_cli.features.factors import Damping, Factors, fit_factors
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.progress import Reporter


class BiasedFactors(Factors):
    """Eqs. (4) and (5) of Koren, Bell & Volinsky 2009: p_u · q_i and biases.

    In (5) damping is added at every rating, so once a rating; here it is weighted by the root of
    their number (`features.factors`).
    """

    def __init__(self, data: RatingData, dim: int, damping: Damping) -> None:
        super().__init__(data, dim, damping)
        self.left, self.right = self.table(data.num_users), self.table(data.num_items)

    def sides(self) -> tuple[Tensor, Tensor]:
        """P and q."""
        return self.left, self.right

    def penalty(self) -> Tensor:
        """Damping of the factors."""
        return self.damped(self.left, self.user_count) + self.damped(self.right, self.item_count)


def fit(data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter) -> Predict:
    """Fit at one setting."""
    torch.manual_seed(seed)
    return fit_factors(
        BiasedFactors(data, int(params["dim"]), damping_of(data, params["reg"])), data
    ).predict


PEER = Peer(
    name="mf",
    task="rating",
    reference="Koren, Bell & Volinsky 2009, eqs. (4), (5): mu + b_u + b_i + p_u · q_i",
    grid={"dim": (10.0,), "reg": (0.5, 1.0, 2.0, 4.0, 8.0)},
    fit=fit,
)
