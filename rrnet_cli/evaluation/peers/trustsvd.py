"""TrustSVD: SVD++ with the trusted as a second implicit feedback."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rrnet_cli.evaluation.peers.base import Peer, Predict
from rrnet_cli.evaluation.peers.damping import damping_of
from rrnet_cli.features.factors import Damping, fit_factors, neighbour_sum
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.features.rating_factors import ImplicitFactors
from rrnet_cli.features.sparse_products import pair_products, weighted_squares
from rrnet_cli.progress import Reporter


class TrustSVD(ImplicitFactors):
    r"""Rating prediction and term of trust of Guo et al. 2015.

    .. math::
        x_u = p_u + |I_u|^{-1/2} \sum_{i \in I_u} y_i + |T_u|^{-1/2} \sum_{v \in T_u} w_v, \qquad
        \lambda_T \sum_{(u, v)} (p_u \cdot w_v - 1)^2

    The paper's objective weights damping by a count to the power -1/2. The first author's LibRec
    adds that at every rating, and so do we: in all the count to the power 1/2, and a `w` is damped
    once a rating of each user who trusts its own. Damped like the other factors, once a truster, it
    overfits. In the paper trust has a direction; here links are read in both.
    """

    def __init__(self, data: RatingData, dim: int, damping: Damping, social: float) -> None:
        super().__init__(data, dim, damping)
        self.social = social
        num_users = data.num_users
        self.trusted = nn.Parameter(torch.zeros(num_users, dim))
        self.trusts = torch.bincount(self.links[0], minlength=num_users).float()
        self.trusted_by = torch.bincount(self.links[1], minlength=num_users).float()
        share = self.trusts[self.links[0]].rsqrt()
        self.trust = neighbour_sum(self.links, share, (num_users, num_users))
        # how many ratings are predicted with each w
        self.trusted_uses = torch.zeros(num_users).index_add_(
            0, self.links[1], self.user_count[self.links[0]]
        )

    def sides(self) -> tuple[Tensor, Tensor]:
        """Own, rated and trusted; and q."""
        own, right = super().sides()
        return own + self.trust @ self.trusted, right

    def penalty(self) -> Tensor:
        """Damping, and how well the vectors explain who trusts whom."""
        trust = pair_products(self.left, self.trusted, self.links[0], self.links[1])
        weight = self.trusted_uses * self.trusted_by.clamp_min(1).rsqrt()
        as_truster = (trust - 1).square().sum() + weighted_squares(self.left, self.trusts.sqrt())
        return (
            super().penalty()
            + self.damping.factors * weighted_squares(self.trusted, weight)
            + self.social * as_truster
        )


def fit(data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter) -> Predict:
    """Fit at one setting."""
    torch.manual_seed(seed)
    return fit_factors(
        TrustSVD(data, int(params["dim"]), damping_of(data, params["reg"]), params["social"]), data
    ).predict


PEER = Peer(
    name="trustsvd",
    task="rating",
    reference="Guo, Zhang & Yorke-Smith 2015, objective; damping as in LibRec, links both ways",
    grid={"dim": (10.0,), "reg": (0.6, 1.2, 2.4, 4.8), "social": (0.1, 0.9)},
    fit=fit,
    social=True,
)
