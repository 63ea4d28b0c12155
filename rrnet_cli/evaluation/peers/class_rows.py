"""What the classification peers share: fitted rows, one-hot labels, scores to probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import InputError
from rrnet_cli.evaluation.peers.base import ClassData

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def fitted_rows(data: ClassData, *, held_alone: bool = False) -> IntArray:
    """Rows of the FIT instances, held ones among them or alone, ascending: (num_fit,) int64.

    Raises:
        InputError: They are of fewer than two classes.
    """
    rows = np.flatnonzero(data.held if held_alone else data.labels >= 0)
    if len(np.unique(data.labels[rows])) < 2:
        raise InputError("the instances to fit on are of fewer than two classes")
    return rows


def one_hot(data: ClassData) -> FloatArray:
    """Known labels as (N, C) float64; a row of zeros where the label is not known."""
    rows = np.flatnonzero(data.labels >= 0)
    result = np.zeros(data.log_prior.shape)
    result[rows, data.labels[rows]] = 1.0
    return result


def to_probabilities(scores: NDArray[Any], data: ClassData) -> FloatArray:
    """Scale rows of scores >= 0 to sum to 1.

    A row of zeros (no known label reaches the instance) becomes the frequencies of the classes in
    FIT, the best that can be said without looking at the instance.

    Shapes:
        (N, C) -> (N, C) float64.
    """
    wide = np.asarray(scores, np.float64)
    frequency = one_hot(data).sum(axis=0)
    wide = np.where(wide.sum(axis=1, keepdims=True) > 0.0, wide, frequency)
    return np.asarray(wide / wide.sum(axis=1, keepdims=True))


def spread_classes(scores: NDArray[Any], classes: IntArray, num_classes: int) -> FloatArray:
    """Put scikit-learn's columns, one a class of FIT, in their places; 0 for other classes.

    Shapes:
        (n, len(classes)), (len(classes),) -> (n, num_classes) float64.
    """
    result = np.zeros((len(scores), num_classes))
    result[:, classes] = scores
    return result
