"""The control: the baseline itself, with its temperature set on SELECT."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.class_rows import FloatArray
from rrnet_cli.evaluation.scores import softmax
from rrnet_cli.progress import Reporter

RANGE = (0.05, 50.0)
"""Temperatures looked at."""


def best_temperature(data: ClassData) -> float:
    """The temperature with the least negative log-likelihood on SELECT.

    The likelihood is convex in 1 / T, thus has one minimum in log T as well.
    """
    from scipy.optimize import minimize_scalar

    log_prior = data.log_prior[data.select].astype(np.float64)

    def loss(log_temperature: float) -> float:
        logits = log_prior / np.exp(log_temperature)
        true = np.take_along_axis(logits, data.select_labels[:, None], axis=1)[:, 0]
        return float((_log_sum_exp(logits) - true).mean())

    bounds = (float(np.log(RANGE[0])), float(np.log(RANGE[1])))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _log_sum_exp(logits: FloatArray) -> FloatArray:
    highest = logits.max(axis=1)
    return np.asarray(highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1)))


def fit(data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter) -> FloatArray:
    """`softmax(log_prior / T)`, eq. (9): better probabilities, the same first place."""
    temperature = best_temperature(data)
    reporter.note(f"temperature: {temperature:.3g}")
    return softmax(data.log_prior.astype(np.float64) / temperature)


PEER = Peer(
    name="temperature",
    task="classification",
    reference="Guo et al. 2017, On Calibration of Modern Neural Networks, eq. (9)",
    grid={},
    fit=fit,
)
