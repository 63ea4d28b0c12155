"""Prior and RR-Net on the same ratings: MAE and RMSE of eq. (10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.evaluation import metrics

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class RatingRun:
    """One RR-Net and its prior on the same ratings, all on the raw scale.

    Attributes:
        ids: (n,) ``user item``.
        rating: (n,) true ratings.
        baseline: (n,) predicted by the prior.
        rrnet: (n,) predicted by RR-Net.
        num_bins: Of the calibration plot.
    """

    ids: NDArray[np.str_]
    rating: FloatArray
    baseline: FloatArray
    rrnet: FloatArray
    num_bins: int

    @classmethod
    def joined(cls, runs: Sequence[RatingRun]) -> RatingRun:
        """The ratings of several runs as one set."""
        return cls(
            np.concatenate([run.ids for run in runs]),
            np.concatenate([run.rating for run in runs]),
            np.concatenate([run.baseline for run in runs]),
            np.concatenate([run.rrnet for run in runs]),
            runs[0].num_bins,
        )

    @property
    def truth(self) -> FloatArray:
        """What is to be predicted, (n,)."""
        return self.rating

    @property
    def hits(self) -> dict[str, tuple[BoolArray, BoolArray]]:
        """No metric of ratings is a share of instances."""
        return {}

    def figures(self) -> dict[str, tuple[float, float]]:
        """Every metric of (prior, RR-Net)."""
        return {
            "mae": (
                metrics.mean_absolute_error(self.rating, self.baseline),
                metrics.mean_absolute_error(self.rating, self.rrnet),
            ),
            "rmse": (
                metrics.root_mean_square_error(self.rating, self.baseline),
                metrics.root_mean_square_error(self.rating, self.rrnet),
            ),
        }

    def columns(self) -> FloatArray:
        """(n, 5): |error| and error^2 of the prior, of RR-Net, and 1."""
        theirs, ours = self.baseline - self.rating, self.rrnet - self.rating
        return np.column_stack(
            (np.abs(theirs), theirs**2, np.abs(ours), ours**2, np.ones(len(ours)))
        )

    def statistic(self, sums: FloatArray) -> dict[str, FloatArray]:
        """Differences RR-Net - prior of resamples, from sums (resamples, 5)."""
        means = sums[:, :4] / sums[:, 4:]
        return {
            "mae": means[:, 2] - means[:, 0],
            "rmse": np.sqrt(means[:, 3]) - np.sqrt(means[:, 1]),
        }

    def detail(self, class_names: Sequence[str] = ()) -> dict[str, Any]:
        """What the calibration plot draws: mean rating by bins of the predicted rating."""
        values = np.concatenate((self.baseline, self.rrnet, self.rating))
        low, high = float(values.min()), float(values.max())
        return {
            "n": len(self.rating),
            "reliability": {
                "baseline": self._reliability(self.baseline, low, high),
                "rrnet": self._reliability(self.rrnet, low, high),
            },
        }

    def _reliability(self, predicted: FloatArray, low: float, high: float) -> dict[str, list[Any]]:
        share = (predicted - low) / max(high - low, 1e-12)
        bins = metrics.confidence_bins(share, self.num_bins)
        count = np.bincount(bins, minlength=self.num_bins)
        filled = np.maximum(count, 1)
        return {
            "count": count.tolist(),
            "predicted": (np.bincount(bins, predicted, self.num_bins) / filled).tolist(),
            "rating": (np.bincount(bins, self.rating, self.num_bins) / filled).tolist(),
        }
