"""TrustSVD: SVD++ with the trusted as a second implicit feedback."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rrnet_cli.evaluation.peers.base import Peer, Predict, RatingData
from rrnet_cli.evaluation.peers.factors import Factors, fit_factors, neighbour_sum
from rrnet_cli.progress import Reporter


class TrustSVD(Factors):
    r"""Guo et al. 2015, eqs. (4) and (6).

    .. math::
        x_u = p_u + |I_u|^{-1/2} \sum_{i \in I_u} y_i + |T_u|^{-1/2} \sum_{v \in T_u} w_v, \qquad
        \lambda_T \sum_{(u, v)} (p_u \cdot w_v - 1)^2
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

    def sides(self) -> tuple[Tensor, Tensor]:
        """Own, rated and trusted; and q."""
        rated = torch.sparse.mm(self.rated, self.implicit)
        return self.left + rated + torch.sparse.mm(self.trust, self.trusted), self.right

    def penalty(self) -> Tensor:
        """Damping, and how well the vectors explain who trusts whom."""
        trust = (self.left[self.links[0]] * self.trusted[self.links[1]]).sum(1)
        own = (
            self.damped(self.left, self.user_count + self.trusts)
            + self.damped(self.right, self.item_count)
            + self.damped(self.implicit, self.item_count)
            + self.damped(self.trusted, self.trusted_by)
        )
        return own + self.social * (trust - 1).square().sum()


def fit(data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter) -> Predict:
    """Fit at one setting."""
    torch.manual_seed(seed)
    return fit_factors(TrustSVD(data, int(params["dim"]), params["reg"], params["social"]), data)


PEER = Peer(
    name="trustsvd",
    task="rating",
    reference="Guo, Zhang & Yorke-Smith 2015, eqs. (4), (6)",
    grid={"dim": (10.0,), "reg": (1.0, 2.0, 4.0), "social": (0.1, 1.0)},
    fit=fit,
    social=True,
)
