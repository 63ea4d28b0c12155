"""TrustSVD: SVD++ with the trusted as a second implicit feedback."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rrnet_cli.evaluation.peers.base import Peer, Predict, RatingData
from rrnet_cli.evaluation.peers.factors import Factors, fit_factors, neighbour_sum
from rrnet_cli.progress import Reporter


class TrustSVD(Factors):
    r"""Guo et al. 2015.

    .. math::
        x_u = p_u + |I_u|^{-1/2} \sum_{i \in I_u} y_i + |T_u|^{-1/2} \sum_{v \in T_u} w_v, \qquad
        \lambda_T \sum_{(u, v)} (p_u \cdot w_v - 1)^2

    Damping follows the authors' LibRec, which adds it at every rating: a `y` is damped once a
    rating of each user who rated its item, a `w` once a rating of each user who trusts its own.
    Damped like the other factors (once a rating of the item, once a truster) they overfit.
    """

    def __init__(self, data: RatingData, dim: int, reg: float, social: float) -> None:
        super().__init__(data, dim, reg)
        self.social = social
        num_users, num_items = data.num_users, data.num_items
        self.left, self.right = self.table(num_users), self.table(num_items)
        # from zero: a sum of many random vectors would be noise that takes long to unlearn
        self.implicit = nn.Parameter(torch.zeros(num_items, dim))
        self.trusted = nn.Parameter(torch.zeros(num_users, dim))
        self.rated = neighbour_sum(
            torch.stack([self.user, self.item]),
            self.user_count[self.user].rsqrt(),
            (num_users, num_items),
        )
        self.trusts = torch.bincount(self.links[0], minlength=num_users).float()
        self.trusted_by = torch.bincount(self.links[1], minlength=num_users).float()
        share = self.trusts[self.links[0]].rsqrt()
        self.trust = neighbour_sum(self.links, share, (num_users, num_users))
        # how many ratings are predicted with each y and each w
        self.item_uses = torch.zeros(num_items).index_add_(0, self.item, self.user_count[self.user])
        self.trusted_uses = torch.zeros(num_users).index_add_(
            0, self.links[1], self.user_count[self.links[0]]
        )

    def sides(self) -> tuple[Tensor, Tensor]:
        """Own, rated and trusted; and q."""
        rated = torch.sparse.mm(self.rated, self.implicit)
        return self.left + rated + torch.sparse.mm(self.trust, self.trusted), self.right

    def penalty(self) -> Tensor:
        """Damping, and how well the vectors explain who trusts whom."""
        trust = (self.left[self.links[0]] * self.trusted[self.links[1]]).sum(1)
        own = self.damped(self.left, self.user_count) + self.damped(self.right, self.item_count)
        of_sets = _weighted(self.implicit, self.item_uses * self.item_count.clamp_min(1).rsqrt())
        of_sets = of_sets + _weighted(
            self.trusted, self.trusted_uses * self.trusted_by.clamp_min(1).rsqrt()
        )
        as_truster = (trust - 1).square().sum() + _weighted(self.left, self.trusts.sqrt())
        return own + self.reg * of_sets + self.social * as_truster


def _weighted(value: Tensor, weight: Tensor) -> Tensor:
    """Σ weight |value|² of rows (n, dim) and their weights (n,); scalar."""
    total: Tensor = (weight * value.square().sum(1)).sum()
    return total


def fit(data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter) -> Predict:
    """Fit at one setting."""
    torch.manual_seed(seed)
    return fit_factors(TrustSVD(data, int(params["dim"]), params["reg"], params["social"]), data)


PEER = Peer(
    name="trustsvd",
    task="rating",
    reference="Guo, Zhang & Yorke-Smith 2015; damping as in LibRec",
    grid={"dim": (10.0,), "reg": (0.6, 1.2, 2.4), "social": (0.1, 0.9)},
    fit=fit,
    social=True,
)
