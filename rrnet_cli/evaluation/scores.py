"""From one value an inter-edge to one score a class: how RR-Net's output becomes a prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def class_scores(
    instance: IntArray, label: IntArray, probability: NDArray[Any], num_rows: int, num_classes: int
) -> FloatArray:
    """Spread the probabilities of inter-edges over a table of instances and classes.

    Args:
        instance: (num_edges,) row of each edge's left end in the table.
        label: (num_edges,) its right end.
        probability: (num_edges,) P of eq. (2).
        num_rows: Instances of the table.
        num_classes: Classes.

    Returns:
        (num_rows, num_classes) float64, `-inf` where there is no edge.

    Raises:
        ValueError: A probability is outside [0, 1] or NaN.
    """
    if not ((probability >= 0.0) & (probability <= 1.0)).all():
        raise ValueError("a probability outside [0, 1]")
    scores = np.full((num_rows, num_classes), -np.inf)
    scores[instance, label] = probability
    return scores


def candidate_distribution(scores: FloatArray) -> FloatArray:
    """Probability of each class: the candidates' scores, scaled to sum to 1.

    The decoder of eq. (2) answers for every pair on its own, so its answers need not add up to 1
    (those of the `softmax` objective do, and stay as they are). This is the scaling by which
    `train` chooses its epoch, so both speak of the same likelihood.

    Shapes:
        (n, C) of P or `-inf` -> (n, C), 0 where there is no candidate; where every P is 0, the
        candidates share equally.
    """
    candidate = np.isfinite(scores)
    weight = np.where(candidate, scores, 0.0)
    weight = np.where(weight.sum(axis=1, keepdims=True) > 0.0, weight, candidate)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def softmax(logits: NDArray[Any]) -> FloatArray:
    """Softmax over the last axis, in float64: (n, C) -> (n, C)."""
    wide = np.asarray(logits, np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
