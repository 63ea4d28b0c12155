"""SoReg: friends of like taste have like factors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from rrnet_cli.evaluation.peers.base import Peer, Predict
from rrnet_cli.evaluation.peers.damping import damping_of
from rrnet_cli.evaluation.peers.mf import BiasedFactors
from rrnet_cli.features.factors import Damping, fit_factors, neighbour_sum
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.features.sparse_products import weighted_squares
from rrnet_cli.progress import Reporter


class SoReg(BiasedFactors):
    r"""Model 2, individual-based regularisation, of Ma et al. 2011, Sec. 5.2.

    .. math:: \beta \sum_u \sum_{f \in F(u)} \mathrm{sim}(u, f)\, |p_u - p_f|^2

    The paper has no biases. Links are read in both directions, so its F+ and F- are one F.
    """

    def __init__(self, data: RatingData, dim: int, damping: Damping, social: float) -> None:
        super().__init__(data, dim, damping)
        self.social = social
        similarity = torch.from_numpy(link_similarity(data)).float()
        self.friends = neighbour_sum(self.links, similarity, (data.num_users, data.num_users))
        self.weight = torch.zeros(data.num_users)
        for end in self.links:
            self.weight.index_add_(0, end, similarity)

    def penalty(self) -> Tensor:
        """Damping, and the distance of friends, which takes no vector a link.

        Σ sim |p_u - p_f|² = Σ (weight of u's links) |p_u|² - 2 Σ p_u · Σ_f sim p_f.
        """
        apart = weighted_squares(self.left, self.weight)
        apart = apart - 2 * (self.left * (self.friends @ self.left)).sum()
        return super().penalty() + self.social * apart


def link_similarity(data: RatingData) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Pearson correlation (Sec. 5.3) of the co-rated items of each link, mapped to [0, 1].

    The mean of a user is over all of its ratings, as in the paper; links without a co-rated item,
    or without a spread in it, have the correlation 0, so the similarity 1/2.

    Returns:
        (num_links,) float64.
    """
    shape = (data.num_users, data.num_items)
    count = np.bincount(data.user, minlength=data.num_users)
    mean = np.bincount(data.user, data.rating, minlength=data.num_users) / np.maximum(count, 1)
    centred = data.rating - mean[data.user]
    value = sparse.csr_matrix((centred, (data.user, data.item)), shape)
    rated = sparse.csr_matrix((np.ones(len(centred)), (data.user, data.item)), shape)
    one, other = data.links
    product = _row_sums(value[one].multiply(value[other]))
    # of each end only what the other end rated too
    one_norm = _row_sums(value[one].power(2).multiply(rated[other]))
    other_norm = _row_sums(value[other].power(2).multiply(rated[one]))
    scale = np.sqrt(one_norm * other_norm)
    correlation = np.divide(product, scale, out=np.zeros_like(product), where=scale > 1e-12)
    return (correlation + 1) / 2


def _row_sums(matrix: sparse.spmatrix) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.asarray(matrix.sum(axis=1), np.float64).ravel()


def fit(data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter) -> Predict:
    """Fit at one setting."""
    torch.manual_seed(seed)
    return fit_factors(
        SoReg(data, int(params["dim"]), damping_of(data, params["reg"]), params["social"]), data
    ).predict


PEER = Peer(
    name="soreg",
    task="rating",
    reference="Ma, Zhou, Liu, Lyu & King 2011, Sec. 5.2, Model 2; with biases",
    grid={"dim": (10.0,), "reg": (1.0, 2.0, 4.0, 8.0), "social": (0.03, 0.3)},
    fit=fit,
    social=True,
)
