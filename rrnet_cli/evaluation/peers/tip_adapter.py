"""Tip-Adapter: a cache of fitted instances that corrects the prior, without training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.class_rows import FloatArray, fitted_rows, one_hot
from rrnet_cli.evaluation.peers.fitted_cosines import cosine_blocks
from rrnet_cli.evaluation.peers.remember import remember_last
from rrnet_cli.evaluation.scores import softmax
from rrnet_cli.progress import Reporter


@remember_last
def _cache_logits(data: ClassData, beta: float) -> FloatArray:
    """`exp(-beta (1 - cos)) @ onehot(labels)`, (N, C) float64: eq. (3), and the sum in (4)."""
    values = torch.from_numpy(one_hot(data)[fitted_rows(data)].astype(np.float32))
    result = torch.empty(data.log_prior.shape)
    for rows, cosine in cosine_blocks(data):
        affinity = cosine.sub_(1.0).mul_(beta).exp_()
        torch.mm(affinity, values, out=result[rows])
    return np.asarray(result.numpy().astype(np.float64))


def fit(data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter) -> FloatArray:
    """`softmax(log_answer + alpha * exp(-beta (1 - cos)) @ onehot(labels))`, eq. (4).

    The logits of CLIP in the paper are the baseline's log-probabilities here, over all views. The
    paper's cache holds 16 instances a class, ours all of FIT, hence far smaller alphas in the grid.
    A fitted instance leaves itself out of the cache.

    Raises:
        InputError: FIT is of fewer than two classes, or a feature is NaN or Inf.
    """
    return softmax(data.log_answer + params["alpha"] * _cache_logits(data, params["beta"]))


PEER = Peer(
    name="tip-adapter",
    task="classification",
    reference="Zhang et al. 2022, Tip-Adapter, eqs. (3), (4): the variant without training",
    # beta first: it changes slowest in the product, and the cache's answer for it is remembered.
    grid={
        "beta": (5.5, 10.0, 20.0, 40.0, 80.0),
        "alpha": (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    },
    fit=fit,
    revision=2,
)
