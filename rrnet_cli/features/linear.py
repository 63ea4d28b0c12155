"""The linear baseline: standardised features and a logistic regression, fitted on FIT alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.base import FIT, HOLD, ROLE_NAMES, SELECT
from rrnet_cli.errors import InputError

PENALTY = 1.0
"""C of scikit-learn's LogisticRegression; its default."""

MAX_ITERATIONS = 2000
UNSEEN = 10.0
"""A class without a fitted instance gets a logit so far below the least likely fitted class."""


@dataclass(frozen=True)
class LinearBaseline:
    """A fitted linear classifier and what it says of every instance.

    Attributes:
        logits: (num_instances, num_classes) float32. Those of fitted instances are in-sample, thus
            surer than those of the others.
        weights: ``mean``, ``scale`` (dim,), ``coef`` (num_classes, dim) and ``intercept``
            (num_classes,) float32: logits are ``(x - mean) / scale @ coef.T + intercept``.
        converged: Whether the solver ended before its limit of iterations.
    """

    logits: NDArray[np.float32]
    weights: dict[str, NDArray[np.float32]]
    converged: bool

    def standardise(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Centre and scale (n, dim) features by what was seen on FIT."""
        centred: NDArray[np.float32] = features - self.weights["mean"]
        return centred / self.weights["scale"]


def flatten_pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, height, width, 3) uint8 to (n, d) float32 in [0, 1].

    Three equal channels (grey pictures) are kept once: d is height · width, else three times that.
    """
    grey = (images[..., :1] == images).all()
    pixels = images[..., :1] if grey else images
    return pixels.reshape(len(images), -1).astype(np.float32) / 255


def fit_linear(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    roles: NDArray[np.int8],
    num_classes: int,
) -> LinearBaseline:
    """Standardise on FIT, fit a multinomial logistic regression on FIT, apply it to all.

    Args:
        features: (num_instances, dim) float32.
        labels: (num_instances,) int64; only those of FIT are read.
        roles: (num_instances,) int8.
        num_classes: Labels are below it.

    Raises:
        InputError: A feature that is not finite, or fewer than two classes in FIT.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise InputError(f"the features of instance {int(np.argmin(finite))} hold NaN or infinity")
    fit = roles == FIT
    if len(np.unique(labels[fit])) < 2:
        raise InputError("the instances to fit on are of fewer than two classes")
    mean = features[fit].mean(axis=0, dtype=np.float64)
    deviation = features[fit].std(axis=0, dtype=np.float64)
    # A column that is constant but for rounding says nothing: leave it near zero.
    scale = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, 1.0)
    standardised = (features - mean) / scale
    model = LogisticRegression(C=PENALTY, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said by `converged`
        model.fit(standardised[fit], labels[fit])
    coef, intercept = _all_classes(model.coef_, model.intercept_, model.classes_, num_classes)
    weights = {"mean": mean, "scale": scale, "coef": coef, "intercept": intercept}
    return LinearBaseline(
        logits=(standardised @ coef.T + intercept).astype(np.float32),
        weights={name: value.astype(np.float32) for name, value in weights.items()},
        converged=bool((model.n_iter_ < MAX_ITERATIONS).all()),
    )


def top1(
    logits: NDArray[np.float32], labels: NDArray[np.int64], roles: NDArray[np.int8]
) -> dict[str, float]:
    """Accuracy in percent on FIT and SELECT (NaN without instances), and on HOLD if there is any.

    TEST is never looked at.
    """
    right = logits.argmax(axis=1) == labels
    scored = (FIT, HOLD, SELECT) if (roles == HOLD).any() else (FIT, SELECT)
    return {
        f"{ROLE_NAMES[role]}_top1": float(100 * right[roles == role].mean())
        if (roles == role).any()
        else np.nan
        for role in scored
    }


def _all_classes(
    coef: NDArray[np.float64],
    intercept: NDArray[np.float64],
    classes: NDArray[np.int64],
    num_classes: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One row a class: scikit-learn gives one row for two classes, none for classes not fitted."""
    if len(classes) == 2:
        coef = np.concatenate([np.zeros_like(coef), coef])
        intercept = np.concatenate([np.zeros_like(intercept), intercept])
    all_coef = np.zeros((num_classes, coef.shape[1]))
    all_intercept = np.full(num_classes, intercept.min() - UNSEEN)
    all_coef[classes], all_intercept[classes] = coef, intercept
    return all_coef, all_intercept
