"""TrustMF: a user has one vector as truster and one as trusted, and both explain its ratings."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rrnet_cli.evaluation.peers.base import Peer, Predict
from rrnet_cli.evaluation.peers.damping import damping_of
from rrnet_cli.features.factors import Damping, Factors, fit_factors
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.features.sparse_products import pair_products
from rrnet_cli.progress import Reporter


class TrustMF(Factors):
    r"""Truster and trustee model of Yang et al. 2013, fitted as one and without the sigmoid.

    .. math:: x_u = (b_u + w_u) / 2, \qquad \lambda_T \sum_{(u, v)} (b_u \cdot w_v - 1)^2

    There each model has b, w and q of its own, is fitted apart, and they are joined to predict;
    and trust has a direction, here links are read in both.
    """

    def __init__(self, data: RatingData, dim: int, damping: Damping, social: float) -> None:
        super().__init__(data, dim, damping)
        self.social = social
        self.truster, self.trusted = self.table(data.num_users), self.table(data.num_users)
        self.right = self.table(data.num_items)

    def sides(self) -> tuple[Tensor, Tensor]:
        """The mean of both vectors, and q."""
        return (self.truster + self.trusted) / 2, self.right

    def penalty(self) -> Tensor:
        """Damping, and how well the vectors explain who trusts whom."""
        trust = pair_products(self.truster, self.trusted, self.links[0], self.links[1])
        own = self.damped(self.right, self.item_count)
        for vectors in (self.truster, self.trusted):
            own = own + self.damped(vectors, self.user_count)
        return own + self.social * (trust - 1).square().sum()


def fit(data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter) -> Predict:
    """Fit at one setting."""
    torch.manual_seed(seed)
    return fit_factors(
        TrustMF(data, int(params["dim"]), damping_of(data, params["reg"]), params["social"]), data
    ).predict


PEER = Peer(
    name="trustmf",
    task="rating",
    reference="Yang, Lei, Liu & Li 2013, both models as one; biases, no sigmoid, links both ways",
    grid={"dim": (10.0,), "reg": (1.0, 2.0, 4.0, 8.0), "social": (0.1, 1.0)},
    fit=fit,
    social=True,
)
