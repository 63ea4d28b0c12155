"""Is RR-Net better than its baseline, or was it luck? Paired tests on the same instances.

Everything is a difference on the same test instances, so what both models find hard cancels. The
interval is the percentile bootstrap over instances; its p-value is the same bootstrap read the
other way (the smallest level at which the interval would leave out 0), so the two agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], Mapping[str, FloatArray]]
"""Column sums of resamples (resamples, num_columns) -> one figure a resample, by name."""

CHUNK_ELEMENTS = 2_000_000
"""Resampled instances held at once: bounds the memory to about 50 MB whatever n is."""


@dataclass(frozen=True)
class Interval:
    """A difference (RR-Net minus baseline) with its bootstrap interval and p-value."""

    difference: float
    low: float
    high: float
    p: float


def bootstrap_sums(
    columns: Any, statistic: Statistic, *, resamples: int, seed: int
) -> dict[str, FloatArray]:
    """Figures of bootstrap resamples, for any figure that depends on sums over instances.

    Accuracy, MAE, RMSE, macro-F1 and the calibration error are all functions of column sums, so
    one set of resamples serves them all: a resample is a vector of multiplicities, and its sums
    are one matrix product. Equal seeds and equal n give equal resamples.

    Args:
        columns: (n, m) one row an instance, an array or a scipy sparse matrix.
        statistic: From the sums of some resamples to their figures.
        resamples: How many.
        seed: Of the resampling.

    Returns:
        (resamples,) of each figure.
    """
    num = int(columns.shape[0])
    if not num:
        raise ValueError("bootstrap over no instances")
    rng = np.random.default_rng(seed)
    # a fixed chunk by n alone, so that the draws do not depend on anything else
    chunk = max(1, min(resamples, CHUNK_ELEMENTS // num))
    parts: dict[str, list[FloatArray]] = {}
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.integers(0, num, size=(rows, num))
        drawn += np.arange(rows)[:, None] * num
        counts = np.bincount(drawn.ravel(), minlength=rows * num).reshape(rows, num)
        for name, figure in statistic(counts.astype(np.float64) @ columns).items():
            parts.setdefault(name, []).append(figure)
    return {name: np.concatenate(figures) for name, figures in parts.items()}


def interval(difference: float, resampled: FloatArray, confidence: float) -> Interval:
    """Percentile interval and two-sided p of resampled differences.

    Args:
        difference: On the instances themselves.
        resampled: (resamples,) differences.
        confidence: For example 0.95.
    """
    tail = (1.0 - confidence) / 2.0
    # order statistics, not interpolation: a bound is a difference that really came up
    low, high = (
        np.quantile(resampled, tail, method="lower"),
        np.quantile(resampled, 1.0 - tail, method="higher"),
    )
    return Interval(difference, float(low), float(high), two_sided_p(resampled))


def two_sided_p(resampled: FloatArray) -> float:
    """Twice the smaller share of resamples on one side of 0, 0 itself on both sides.

    One is added to both counts, so p is never 0: B resamples cannot show less than 2 / (B + 1).
    """
    below = (np.count_nonzero(resampled <= 0.0) + 1) / (len(resampled) + 1)
    above = (np.count_nonzero(resampled >= 0.0) + 1) / (len(resampled) + 1)
    return float(min(1.0, 2.0 * min(below, above)))


def hit_difference(
    baseline: NDArray[np.bool_],
    rrnet: NDArray[np.bool_],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Bootstrap of a difference of accuracies, in constant memory.

    An instance contributes -1, 0 or 1. Drawing n instances with replacement and counting the
    three kinds *is* a multinomial draw with their shares, so it is drawn at once.

    Args:
        baseline: (n,) whether the baseline was right.
        rrnet: (n,) whether RR-Net was right.
        resamples: How many.
        confidence: For example 0.95.
        seed: Of the resampling.
    """
    num = _same_length(baseline, rrnet)
    lost, won = _discordant(baseline, rrnet)
    draws = np.random.default_rng(seed).multinomial(
        num, np.array([lost, num - lost - won, won]) / num, size=resamples
    )
    return interval((won - lost) / num, (draws[:, 2] - draws[:, 0]) / num, confidence)


def mcnemar_exact(baseline: NDArray[np.bool_], rrnet: NDArray[np.bool_]) -> float:
    """McNemar's exact two-sided p: of the instances on which one alone is right, is it a coin?

    Returns:
        1.0 where the two agree everywhere.
    """
    from scipy.stats import binom

    _same_length(baseline, rrnet)
    lost, won = _discordant(baseline, rrnet)
    if not lost + won:
        return 1.0
    return float(min(1.0, 2.0 * binom.cdf(min(lost, won), lost + won, 0.5)))


def _discordant(baseline: NDArray[np.bool_], rrnet: NDArray[np.bool_]) -> tuple[int, int]:
    return int((baseline & ~rrnet).sum()), int((~baseline & rrnet).sum())


def _same_length(baseline: NDArray[np.bool_], rrnet: NDArray[np.bool_]) -> int:
    if baseline.shape != rrnet.shape or baseline.ndim != 1 or not len(baseline):
        raise ValueError(f"not paired: {baseline.shape} and {rrnet.shape}")
    return len(baseline)
