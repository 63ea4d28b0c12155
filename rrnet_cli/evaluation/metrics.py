"""Metrics of both tasks: pure functions of numpy arrays (paper Sec. IV, eq. (10)).

Scores of a classification are (num_instances, num_classes); a class that is no candidate of an
instance (it has no inter-edge) scores `-inf`, so it can never be a hit, however few candidates
there are. Equal scores are ranked by class index: a network that gives every candidate the same
probability must not inherit the accuracy of the prior that chose the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]

PROBABILITY_FLOOR = 1e-6
"""Lowest probability that the likelihood charges for: a true class outside the candidates has
probability 0 and would cost infinitely much, so every probability is raised to this (13.8 nats)
for baseline and RR-Net alike. `nll_floored` of `ClassRun.detail` counts how often it mattered."""


def label_ranks(scores: FloatArray, labels: IntArray) -> IntArray:
    """Place of the true class in the order of scores, 0 the best.

    Args:
        scores: (n, C), `-inf` where a class is no candidate.
        labels: (n,) index of the true class.

    Returns:
        (n,) int64; C where the true class is no candidate.

    Raises:
        ValueError: Shapes disagree, a label is out of range, or a score is NaN.
    """
    _check_scores(scores, labels)
    true_score = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1])[None, :] < labels[:, None]
    ranks: IntArray = ((scores > true_score) | ((scores == true_score) & earlier)).sum(axis=1)
    ranks[np.isneginf(true_score[:, 0])] = scores.shape[1]
    return ranks


def top_k_hits(scores: FloatArray, labels: IntArray, k: int) -> NDArray[np.bool_]:
    """Whether the true class is among the k best scores; the mean is the top-k accuracy.

    Shapes:
        (n, C), (n,) -> (n,) bool.
    """
    # rank C is no rank: with k > C it must not pass for a hit
    return label_ranks(scores, labels) < min(k, scores.shape[1])


def predict(scores: FloatArray) -> IntArray:
    """Class of the highest score, the lowest index among equals: (n, C) -> (n,) int64."""
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def count_ties(scores: FloatArray) -> int:
    """Instances whose highest score is shared by several classes."""
    return int(((scores == scores.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())


def confusion_matrix(labels: IntArray, predicted: IntArray, num_classes: int) -> IntArray:
    """Counts: row = true class, column = predicted class, (C, C) int64."""
    flat = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


@dataclass(frozen=True)
class PerClass:
    """Precision, recall, F1 and support of every class, each (C,); 0 where undefined."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: IntArray


def per_class(confusion: IntArray) -> PerClass:
    """Per-class figures of a (C, C) confusion matrix; a ratio with denominator 0 counts as 0."""
    hits = np.diagonal(confusion).astype(np.float64)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    return PerClass(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2.0 * hits, support + predicted),
        support=support,
    )


def macro_f1(confusion: IntArray) -> float:
    """Mean F1 of the classes that occur among the true labels.

    Classes without a test instance are left out, whether or not they were predicted: their F1
    says nothing, and both models are so averaged over the same classes.
    """
    figures = per_class(confusion)
    present = figures.support > 0
    return float(figures.f1[present].mean()) if present.any() else 0.0


def true_class_probability(probabilities: FloatArray, labels: IntArray) -> NDArray[np.float64]:
    """Probability given to the true class: (n, C), (n,) -> (n,) float64."""
    _check_scores(probabilities, labels)
    return np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)


def negative_log_likelihoods(true_probability: FloatArray) -> NDArray[np.float64]:
    """-ln p of each instance in nats, p raised to `PROBABILITY_FLOOR`: (n,) -> (n,)."""
    floored = np.maximum(np.asarray(true_probability, np.float64), PROBABILITY_FLOOR)
    return np.asarray(-np.log(floored))


def confidence_bins(confidence: FloatArray, num_bins: int) -> IntArray:
    """Bin of each confidence among equal-width bins: lower edge open, upper closed.

    Shapes:
        (n,) in [0, 1] -> (n,) int64 in [0, num_bins); 0 goes into the first.
    """
    edges = np.arange(1, num_bins) / num_bins
    return np.searchsorted(edges, np.asarray(confidence, np.float64), side="left").astype(np.int64)


@dataclass(frozen=True)
class Reliability:
    """What a reliability diagram draws, each (num_bins,); means are 0 in an empty bin."""

    count: IntArray
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean |accuracy - confidence| over instances."""
        gap = np.abs(self.accuracy - self.confidence)
        return float((self.count * gap).sum() / self.count.sum())


def reliability(confidence: FloatArray, hits: NDArray[np.bool_], num_bins: int) -> Reliability:
    """Confidence against accuracy by bins of confidence (Guo et al. 2017).

    Args:
        confidence: (n,) probability of the predicted class.
        hits: (n,) whether the prediction was right.
        num_bins: Equal-width bins of [0, 1].
    """
    if not len(confidence):
        raise ValueError("calibration of no instances")
    bins = confidence_bins(confidence, num_bins)
    count = np.bincount(bins, minlength=num_bins).astype(np.int64)
    sums = np.bincount(bins, weights=confidence, minlength=num_bins)
    right = np.bincount(bins, weights=hits.astype(np.float64), minlength=num_bins)
    return Reliability(count, _ratio(sums, count), _ratio(right, count))


def mean_absolute_error(rating: FloatArray, predicted: FloatArray) -> float:
    """MAE of eq. (10), on the raw scale of the ratings."""
    return float(np.abs(_errors(rating, predicted)).mean())


def root_mean_square_error(rating: FloatArray, predicted: FloatArray) -> float:
    """RMSE of eq. (10), on the raw scale of the ratings."""
    return float(np.sqrt(np.square(_errors(rating, predicted)).mean()))


def _errors(rating: FloatArray, predicted: FloatArray) -> NDArray[np.float64]:
    if rating.shape != predicted.shape or not rating.size:
        raise ValueError(f"ratings {rating.shape} and predictions {predicted.shape}")
    # float64 first: a float32 mean over 10^5 squares is off in the fourth digit
    return predicted.astype(np.float64) - rating.astype(np.float64)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part), np.float64), where=whole > 0)


def _check_scores(scores: FloatArray, labels: IntArray) -> None:
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not labels.size:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape}")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"a label outside [0, {scores.shape[1]})")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
