"""A vote of the nearest fitted neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.class_rows import FloatArray, fitted_rows, to_probabilities
from rrnet_cli.evaluation.peers.fitted_cosines import cosine_blocks
from rrnet_cli.evaluation.peers.remember import remember_last
from rrnet_cli.graphs.knn import select_highest
from rrnet_cli.progress import Reporter

GRID = {"k": (1.0, 3.0, 5.0, 10.0, 20.0, 50.0)}


@remember_last
def _nearest_labels(data: ClassData, count: float) -> Tensor:
    """Labels (N, count) of the `count` nearest fitted instances, nearest first."""
    labels = torch.from_numpy(data.labels[fitted_rows(data)])
    result = torch.empty(len(data.features), int(count), dtype=torch.int64)
    for rows, cosine in cosine_blocks(data):
        near = select_highest(cosine, int(count))
        order = cosine.gather(1, near).argsort(dim=1, descending=True, stable=True)
        result[rows] = labels[near.gather(1, order)]
    return result


def fit(data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter) -> FloatArray:
    """Share of each class among the k nearest *fitted* instances by cosine in the features.

    Eq. (2.8) of Hastie, Tibshirani & Friedman 2009 on one-hot labels; the rule that Cover & Hart
    study is k = 1. A fitted instance is no neighbour of its own. Equally near: the lower row. `k`
    is clamped to one below the number of fitted instances. The graph's edges are not used: many of
    an instance's neighbours there have no known label.

    Raises:
        InputError: FIT is of fewer than two classes, or a feature is NaN or Inf.
    """
    limit = len(fitted_rows(data)) - 1
    most = min(limit, int(max(GRID["k"] + (params["k"],))))
    near = _nearest_labels(data, most)[:, : min(int(params["k"]), limit)].numpy()
    votes = np.zeros(data.log_prior.shape)
    np.add.at(votes, (np.arange(len(near))[:, None], near), 1.0)
    return to_probabilities(votes, data)


PEER = Peer(
    name="knn",
    task="classification",
    reference="Cover & Hart 1967; Hastie et al. 2009, Elements, eq. (2.8); cosine, equal votes",
    grid=GRID,
    fit=fit,
)
