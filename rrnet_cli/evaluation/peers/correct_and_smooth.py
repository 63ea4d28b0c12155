"""Correct & Smooth: spread the errors of the prior, then its answers, over the intra graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rrnet_cli.evaluation.peers.adjacency import normalised_adjacency
from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.class_rows import (
    FloatArray,
    IntArray,
    fitted_rows,
    one_hot,
    to_probabilities,
)
from rrnet_cli.evaluation.scores import softmax
from rrnet_cli.progress import Reporter

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

STEPS = 50
"""Propagations of either phase, as in the paper's own runs."""

LARGEST_SCALE = 1000.0
"""Above it, an error that hardly reached the instance is left unscaled (PyG)."""


def fit(data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter) -> FloatArray:
    """Correct, then smooth; the definition is that of PyG's `CorrectAndSmooth`.

    Both spread by the paper's iteration, label spreading (Zhou et al. 2004). One thing is PyG's
    and not the paper's: there fixed diffusion (FDiff-scale) averages over neighbours, `D^-1 A`, and
    has no alpha.

    The method spreads the errors that the base prediction makes on FIT: the baseline's answer over
    all views of a picture, as RR-Net `plus` starts from it. Where that of fitted instances is
    in-sample it is nearly without error there, so there is nothing to correct: the result is then
    little more than "smooth". Of linear baselines it is out-of-fold (`stages._refit`), of others
    after `extract --cross-fit`; over several views it is in-sample even then.

    Raises:
        InputError: FIT is of fewer than two classes.
    """
    rows = fitted_rows(data)
    matrix = normalised_adjacency(data)
    known = one_hot(data)
    prior = softmax(data.log_answer)
    corrected = correct(
        prior, known, rows, matrix, params["correct_alpha"], autoscale=bool(params["autoscale"])
    )
    return to_probabilities(smooth(corrected, known, rows, matrix, params["smooth_alpha"]), data)


def correct(
    prior: FloatArray,
    known: FloatArray,
    rows: IntArray,
    matrix: csr_matrix,
    alpha: float,
    *,
    autoscale: bool,
    steps: int = STEPS,
) -> FloatArray:
    """Add the errors of FIT, spread over the graph.

    Args:
        prior: (N, C) base prediction Z.
        known: (N, C) one-hot labels of FIT.
        rows: (num_fit,) rows of FIT.
        matrix: (N, N) S = D^-1/2 A D^-1/2.
        alpha: How far errors spread: `E <- alpha S E + (1 - alpha) E0`.
        autoscale: Scale each instance's spread error to the mean size of the errors of FIT
            (Autoscale); else errors of FIT are set back after every step (FDiff-scale, scale 1).
        steps: Propagations.

    Returns:
        (N, C), not clipped.
    """
    error = np.zeros_like(prior)
    error[rows] = known[rows] - prior[rows]
    spread = error
    for _ in range(steps):
        spread = alpha * (matrix @ spread) + (1 - alpha) * error
        if autoscale:
            spread = spread.clip(-1.0, 1.0)
        else:
            spread[rows] = error[rows]
    if not autoscale:
        return prior + spread
    size = np.abs(error[rows]).sum() / len(rows)
    reached = np.abs(spread).sum(axis=1, keepdims=True)
    scale = np.divide(size, reached, out=np.ones_like(reached), where=reached > 0)
    return np.asarray(prior + np.where(scale > LARGEST_SCALE, 1.0, scale) * spread)


def smooth(
    corrected: FloatArray,
    known: FloatArray,
    rows: IntArray,
    matrix: csr_matrix,
    alpha: float,
    *,
    steps: int = STEPS,
) -> FloatArray:
    """Set FIT to its labels and spread the answers: `G <- alpha S G + (1 - alpha) G0`.

    Args:
        corrected: (N, C) of `correct`.
        known: (N, C) one-hot labels of FIT.
        rows: (num_fit,) rows of FIT.
        matrix: (N, N) as above.
        alpha: How far answers spread.
        steps: Propagations; each ends clipped to [0, 1].

    Returns:
        (N, C) in [0, 1]; rows need not sum to 1.
    """
    start = corrected.copy()
    start[rows] = known[rows]
    result = start
    for _ in range(steps):
        result = (alpha * (matrix @ result) + (1 - alpha) * start).clip(0.0, 1.0)
    return np.asarray(result)


PEER = Peer(
    name="correct-and-smooth",
    task="classification",
    reference="Huang et al. 2021, Correct & Smooth, both phases (as in PyG, fixed diffusion too)",
    grid={
        "correct_alpha": (0.2, 0.5, 0.8, 0.95),
        "smooth_alpha": (0.1, 0.3, 0.6, 0.8, 0.95),
        "autoscale": (0.0, 1.0),
    },
    fit=fit,
    fitted_prior=True,
    revision=2,
)
