"""LightGCN with a squared loss: factors are means over what a linear walk on ratings reaches."""

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


class LightGCN(BiasedFactors):
    r"""Eqs. (3) to (5) of He et al. 2020, with biases, and squares in the place of BPR (15).

    .. math::
        p^{(k+1)} = D_U^{-1/2} A D_I^{-1/2} q^{(k)}, \qquad x = \mathrm{mean}_k\, p^{(k)},
        \quad y = \mathrm{mean}_k\, q^{(k)}

    The first is eq. (3), the means are eq. (4) with its weights 1 / (K + 1).
    """

    def __init__(self, data: RatingData, dim: int, damping: Damping, layers: int) -> None:
        super().__init__(data, dim, damping)
        self.layers = layers
        weight = (self.user_count[self.user] * self.item_count[self.item]).rsqrt()
        shape = (data.num_users, data.num_items)
        self.forth = neighbour_sum(torch.stack([self.user, self.item]), weight, shape)
        self.back = neighbour_sum(torch.stack([self.item, self.user]), weight, shape[::-1])

    def sides(self) -> tuple[Tensor, Tensor]:
        """Means over the layers, the first one the factors themselves."""
        left: list[Tensor] = [self.left]
        right: list[Tensor] = [self.right]
        for _ in range(self.layers):
            reached = self.forth @ right[-1]
            right.append(self.back @ left[-1])
            left.append(reached)
        return torch.stack(left).mean(0), torch.stack(right).mean(0)


def fit(data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter) -> Predict:
    """Fit at one setting."""
    torch.manual_seed(seed)
    model = LightGCN(
        data, int(params["dim"]), damping_of(data, params["reg"]), int(params["layers"])
    )
    return fit_factors(model, data).predict


PEER = Peer(
    name="lightgcn",
    task="rating",
    reference="He, Deng, Wang, Li, Zhang & Wang 2020, eqs. (3)-(5); biases, squared loss for (15)",
    grid={"dim": (16.0,), "reg": (0.1, 0.3, 1.0, 3.0), "layers": (1.0, 2.0, 3.0)},
    fit=fit,
)
