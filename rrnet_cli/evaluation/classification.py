"""Baseline and RR-Net on the same instances of a classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.evaluation import metrics
from rrnet_cli.evaluation.scores import candidate_distribution

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """One model's answers on n instances, reduced to what the metrics need, each (n,)."""

    predicted: IntArray
    confidence: FloatArray
    true_probability: FloatArray
    top1: BoolArray
    top5: BoolArray

    @classmethod
    def of(cls, scores: FloatArray, probabilities: FloatArray, labels: IntArray) -> Judged:
        """Judge scores (n, C) that rank the classes, and probabilities (n, C) that are believed."""
        predicted = metrics.predict(scores)
        confidence = np.take_along_axis(probabilities, predicted[:, None], axis=1)[:, 0]
        return cls(
            predicted,
            confidence.astype(np.float64),
            metrics.true_class_probability(probabilities, labels),
            metrics.top_k_hits(scores, labels, 1),
            metrics.top_k_hits(scores, labels, 5),
        )

    def as_columns(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Columns of `predictions.parquet`, from which `from_columns` makes it again."""
        return {
            prefix: self.predicted,
            f"{prefix}_probability": self.confidence,
            f"{prefix}_true_probability": self.true_probability,
            f"{prefix}_top5": self.top5,
        }

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, NDArray[Any]], prefix: str, labels: IntArray
    ) -> Judged:
        """The inverse of `as_columns`."""
        predicted = columns[prefix]
        return cls(
            predicted,
            columns[f"{prefix}_probability"],
            columns[f"{prefix}_true_probability"],
            predicted == labels,
            columns[f"{prefix}_top5"],
        )

    @classmethod
    def joined(cls, parts: Sequence[Judged]) -> Judged:
        """The answers of several runs, one after the other."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in cls.__dataclass_fields__
            )
        )


@dataclass(frozen=True)
class ClassRun:
    """One RR-Net and its baseline on the same instances.

    Attributes:
        ids: (n,) names of the instances.
        labels: (n,) true classes.
        baseline: What the prior alone says.
        rrnet: What RR-Net says.
        candidate: (n,) whether the true class is among the instance's candidates.
        ties: Instances whose best score RR-Net gives to several candidates.
        num_classes: C.
        num_bins: Of the calibration error.
    """

    ids: NDArray[np.str_]
    labels: IntArray
    baseline: Judged
    rrnet: Judged
    candidate: BoolArray
    ties: int
    num_classes: int
    num_bins: int

    @classmethod
    def of(
        cls,
        ids: NDArray[np.str_],
        labels: IntArray,
        prior: FloatArray,
        scores: FloatArray,
        num_bins: int,
    ) -> ClassRun:
        """Judge both models.

        Args:
            ids: (n,) names.
            labels: (n,) true classes.
            prior: (n, C) probabilities of the baseline, over all classes.
            scores: (n, C) P of eq. (2), `-inf` where a class is no candidate.
            num_bins: Of the calibration error.
        """
        return cls(
            ids,
            labels,
            Judged.of(prior, prior, labels),
            Judged.of(scores, candidate_distribution(scores), labels),
            np.isfinite(np.take_along_axis(scores, labels[:, None], axis=1)[:, 0]),
            metrics.count_ties(scores),
            scores.shape[1],
            num_bins,
        )

    @classmethod
    def joined(cls, runs: Sequence[ClassRun]) -> ClassRun:
        """The instances of several runs as one set."""
        return cls(
            np.concatenate([run.ids for run in runs]),
            np.concatenate([run.labels for run in runs]),
            Judged.joined([run.baseline for run in runs]),
            Judged.joined([run.rrnet for run in runs]),
            np.concatenate([run.candidate for run in runs]),
            sum(run.ties for run in runs),
            runs[0].num_classes,
            runs[0].num_bins,
        )

    @property
    def truth(self) -> IntArray:
        """What is to be predicted, (n,)."""
        return self.labels

    @property
    def hits(self) -> dict[str, tuple[BoolArray, BoolArray]]:
        """Metrics that are shares of instances: (n,) of baseline and of RR-Net, by name."""
        return {
            "top1": (self.baseline.top1, self.rrnet.top1),
            "top5": (self.baseline.top5, self.rrnet.top5),
        }

    def figures(self) -> dict[str, tuple[float, float]]:
        """Every metric of (baseline, RR-Net); accuracies in percent."""
        ours, theirs = (self._figures_of(side) for side in (self.rrnet, self.baseline))
        return {name: (theirs[name], ours[name]) for name in ours}

    def _figures_of(self, side: Judged) -> dict[str, float]:
        table = metrics.reliability(side.confidence, side.top1, self.num_bins)
        return {
            "top1": 100.0 * float(side.top1.mean()),
            "top5": 100.0 * float(side.top5.mean()),
            "macro_f1": metrics.macro_f1(self.confusion(side)),
            "nll": float(metrics.negative_log_likelihoods(side.true_probability).mean()),
            "ece": table.calibration_error,
        }

    def confusion(self, side: Judged) -> IntArray:
        """(C, C) counts, row = true class."""
        return metrics.confusion_matrix(self.labels, side.predicted, self.num_classes)

    def columns(self) -> Any:
        """Per-instance terms whose sums give every metric: scipy CSR (n, num_columns).

        Per model: top-1, top-5, -ln p, the gap confidence - hit in the bin of the confidence,
        hits by class, predictions by class; then 1 and the true class by class.
        """
        from scipy import sparse

        num = len(self.labels)
        blocks = []
        for side in (self.baseline, self.rrnet):
            blocks += [
                sparse.csr_matrix(
                    np.column_stack(
                        (
                            side.top1,
                            side.top5,
                            metrics.negative_log_likelihoods(side.true_probability),
                        )
                    ).astype(np.float64)
                ),
                _one_hot(
                    metrics.confidence_bins(side.confidence, self.num_bins),
                    self.num_bins,
                    side.confidence - side.top1,
                ),
                _one_hot(self.labels, self.num_classes, side.top1.astype(np.float64)),
                _one_hot(side.predicted, self.num_classes),
            ]
        blocks += [sparse.csr_matrix(np.ones((num, 1))), _one_hot(self.labels, self.num_classes)]
        return sparse.hstack(blocks, format="csr")

    def statistic(self, sums: FloatArray) -> dict[str, FloatArray]:
        """Differences RR-Net - baseline of resamples, from sums (resamples, num_columns)."""
        width = 3 + self.num_bins + 2 * self.num_classes
        total, support = sums[:, 2 * width], sums[:, 2 * width + 1 :]
        theirs, ours = (
            self._side_statistic(sums[:, start : start + width], total, support)
            for start in (0, width)
        )
        return {name: ours[name] - theirs[name] for name in ours}

    def _side_statistic(
        self, sums: FloatArray, total: FloatArray, support: FloatArray
    ) -> dict[str, FloatArray]:
        gaps, hits, predicted = np.split(
            sums[:, 3:], [self.num_bins, self.num_bins + self.num_classes], axis=1
        )
        f1 = 2.0 * hits / np.maximum(support + predicted, 1.0)
        present = support > 0
        return {
            "top1": 100.0 * sums[:, 0] / total,
            "top5": 100.0 * sums[:, 1] / total,
            "macro_f1": (f1 * present).sum(axis=1) / present.sum(axis=1),
            "nll": sums[:, 2] / total,
            "ece": np.abs(gaps).sum(axis=1) / total,
        }

    def detail(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Everything behind the figures, as JSON: what the plots draw, and the notes."""
        return {
            "n": len(self.labels),
            "candidate_recall": float(self.candidate.mean()),
            "rrnet_ties": self.ties,
            "confusion": {name: self.confusion(side).tolist() for name, side in self._sides()},
            "per_class": self._per_class(class_names),
            "reliability": {name: self._reliability(side) for name, side in self._sides()},
            "nll_floored": {
                name: int((side.true_probability < metrics.PROBABILITY_FLOOR).sum())
                for name, side in self._sides()
            },
        }

    def _sides(self) -> tuple[tuple[str, Judged], tuple[str, Judged]]:
        return ("baseline", self.baseline), ("rrnet", self.rrnet)

    def _reliability(self, side: Judged) -> dict[str, list[float]]:
        table = metrics.reliability(side.confidence, side.top1, self.num_bins)
        return {
            "count": table.count.tolist(),
            "confidence": table.confidence.tolist(),
            "accuracy": table.accuracy.tolist(),
        }

    def _per_class(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        tables = {name: metrics.per_class(self.confusion(side)) for name, side in self._sides()}
        return [
            {
                "class": class_name,
                "support": int(tables["rrnet"].support[index]),
                **{
                    f"{name}_{figure}": float(getattr(table, figure)[index])
                    for name, table in tables.items()
                    for figure in ("precision", "recall", "f1")
                },
            }
            for index, class_name in enumerate(class_names)
        ]


def _one_hot(column: IntArray, width: int, values: FloatArray | None = None) -> Any:
    from scipy import sparse

    num = len(column)
    data = np.ones(num) if values is None else values
    return sparse.csr_matrix((data, (np.arange(num), column)), shape=(num, width))
