"""Logistic regression on the features, and on features and log-prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.class_rows import (
    FloatArray,
    IntArray,
    fitted_rows,
    spread_classes,
)
from rrnet_cli.progress import Reporter

MAX_ITERATIONS = 300
TOLERANCE = 1e-4
"""Largest entry of the gradient of the mean loss at which the solver ends."""

GRID = {"C": (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)}


def fit_features(
    data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter
) -> FloatArray:
    """Multinomial logistic regression on FIT, minimum of `sum of cross entropy + |W|²/(2C)`.

    Eqs. (18.10) and (18.11) of Hastie, Tibshirani & Friedman 2009, with 1 / C as their lambda.
    Inductive: features of other instances change nothing, but for the common standardisation.

    Raises:
        InputError: FIT is of fewer than two classes.
    """
    return _fit(data.features, data, fitted_rows(data), params["C"], reporter)


def fit_features_and_prior(
    data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter
) -> FloatArray:
    """The same on the features beside the standardised log-prior, and that of all views if any.

    Stacked generalisation (Wolpert 1992, which has procedures and no one equation) is this on
    answers out of fold.
    The log-prior of a fitted instance is in-sample and overconfident unless the baseline is linear
    (`stages._refit`) or was cross-fitted: the regression then trusts it more than it deserves on
    other instances, and can do no better than the choice of C on SELECT lets it. Where there are
    held instances, it is fitted on them alone, as RR-Net is.

    Raises:
        InputError: FIT is of fewer than two classes.
    """
    answers = [data.log_prior, *([] if data.log_views is None else [data.log_views])]
    prior = np.hstack(answers).astype(np.float64)
    deviation = prior.std(axis=0)
    prior = (prior - prior.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    rows = fitted_rows(data, held_alone=bool(data.held.any()))
    inputs = np.hstack([data.features, prior.astype(np.float32)])
    return _fit(inputs, data, rows, params["C"], reporter)


def _fit(
    inputs: NDArray[np.float32],
    data: ClassData,
    rows: IntArray,
    penalty: float,
    reporter: Reporter,
) -> FloatArray:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(C=penalty, max_iter=MAX_ITERATIONS, tol=TOLERANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said by the note
        model.fit(inputs[rows], data.labels[rows])
    if (model.n_iter_ >= MAX_ITERATIONS).any():
        reporter.note(f"logreg, C = {penalty:g}: stopped after {MAX_ITERATIONS} iterations")
    probability = model.predict_proba(inputs).astype(np.float64)
    probability /= probability.sum(axis=1, keepdims=True)
    return spread_classes(probability, model.classes_, data.log_prior.shape[1])


PEER = Peer(
    name="logreg",
    task="classification",
    reference="Hastie et al. 2009, Elements, eqs. (18.10), (18.11): multinomial, L2 (scikit-learn)",
    grid=GRID,
    fit=fit_features,
)

PEER_PRIOR = Peer(
    name="logreg-prior",
    task="classification",
    reference="the same on features and the baseline's log-probabilities (stacking, Wolpert 1992)",
    grid=GRID,
    fit=fit_features_and_prior,
    fitted_prior=True,
    revision=2,
)
