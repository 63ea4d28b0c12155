"""SocialMF: a user's factors are near the mean of those whom it trusts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rrnet_cli.evaluation.peers.base import Peer, Predict
from rrnet_cli.evaluation.peers.damping import damping_of
from rrnet_cli.evaluation.peers.mf import BiasedFactors
from rrnet_cli.features.factors import Damping, fit_factors, neighbour_sum
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.progress import Reporter


class SocialMF(BiasedFactors):
    r"""The objective of Jamali & Ester 2010 with biases; T has rows that sum to 1.

    Its term of trust, the prior of a user's factors given those whom it trusts:

    .. math:: \lambda_T \sum_u |p_u - \sum_v T_{uv} p_v|^2

    There ratings go through the logistic function, and trust has a direction; here neither, as
    links are read in both directions.
    """

    def __init__(self, data: RatingData, dim: int, damping: Damping, social: float) -> None:
        super().__init__(data, dim, damping)
        self.social = social
        trusted = torch.bincount(self.links[0], minlength=data.num_users).float()
        self.trusting = trusted > 0
        share = 1 / trusted[self.links[0]]
        self.trust = neighbour_sum(self.links, share, (data.num_users, data.num_users))

    def penalty(self) -> Tensor:
        """Damping, and the distance from the trusted; users who trust nobody have none."""
        apart = (self.left - self.trust @ self.left)[self.trusting]
        total: Tensor = super().penalty() + self.social * apart.square().sum()
        return total


def fit(data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter) -> Predict:
    """Fit at one setting."""
    torch.manual_seed(seed)
    return fit_factors(
        SocialMF(data, int(params["dim"]), damping_of(data, params["reg"]), params["social"]), data
    ).predict


PEER = Peer(
    name="socialmf",
    task="rating",
    reference="Jamali & Ester 2010, the objective; biases, no logistic function, links both ways",
    grid={"dim": (10.0,), "reg": (1.0, 2.0, 4.0, 8.0), "social": (0.3, 3.0)},
    fit=fit,
    social=True,
)
