"""Baseline | RR-Net | difference: for one run, and for the runs of several folds or seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.evaluation.classification import ClassRun
from rrnet_cli.evaluation.paired import (
    Interval,
    bootstrap_sums,
    hit_difference,
    interval,
    mcnemar_exact,
)
from rrnet_cli.evaluation.ratings import RatingRun

Run = ClassRun | RatingRun
Estimate = Literal["single", "pooled", "mean"]


@dataclass(frozen=True)
class Metric:
    """How a metric is written down.

    Attributes:
        label: In tables.
        higher_is_better: Which sign of a difference is a gain.
        digits: After the point.
    """

    label: str
    higher_is_better: bool
    digits: int


METRICS = {
    "top1": Metric("top-1 accuracy (%)", True, 2),
    "top5": Metric("top-5 accuracy (%)", True, 2),
    "macro_f1": Metric("macro F1", True, 4),
    "nll": Metric("negative log-likelihood", False, 4),
    "ece": Metric("calibration error", False, 4),
    "mae": Metric("MAE", False, 4),
    "rmse": Metric("RMSE", False, 4),
}


@dataclass(frozen=True)
class Bootstrap:
    """How differences are resampled."""

    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Row:
    """One metric, baseline against RR-Net.

    Attributes:
        metric: Key of `METRICS`.
        baseline: Its figure.
        rrnet: RR-Net's.
        difference: RR-Net minus baseline.
        ci_low, ci_high: Bootstrap interval of the difference.
        p: Two-sided.
        p_method: Which test gave p.
        n: Distinct instances behind it.
        baseline_std, rrnet_std, difference_std: Sample standard deviation over runs, if several.
    """

    metric: str
    baseline: float
    rrnet: float
    difference: float
    ci_low: float
    ci_high: float
    p: float
    p_method: Literal["mcnemar-exact", "bootstrap"]
    n: int
    baseline_std: float | None = None
    rrnet_std: float | None = None
    difference_std: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare_run(run: Run, bootstrap: Bootstrap) -> list[Row]:
    """All metrics of one set of instances.

    Shares of instances (top-1, top-5) get McNemar's exact p, the others the bootstrap's.
    """
    figures = run.figures()
    sampled = bootstrap_sums(
        run.columns(), run.statistic, resamples=bootstrap.resamples, seed=bootstrap.seed
    )
    rows = []
    for name, (baseline, rrnet) in figures.items():
        if name in run.hits:
            theirs, ours = run.hits[name]
            found = _percent(hit_difference(theirs, ours, **asdict(bootstrap)))
            rows.append(
                _row(name, baseline, rrnet, found, len(run.ids), mcnemar_exact(theirs, ours))
            )
        else:
            found = interval(rrnet - baseline, sampled[name], bootstrap.confidence)
            rows.append(_row(name, baseline, rrnet, found, len(run.ids)))
    return rows


def aggregate(runs: Sequence[Run], bootstrap: Bootstrap) -> tuple[Estimate, list[Row]]:
    """The runs of several folds or seeds in one row a metric, with std over runs.

    Disjoint test instances (folds) are pooled: every figure is that of all instances together.
    Otherwise (seeds, repeated random splits) pooling would count an instance several times as
    if it were several: the figures are means over runs, and the interval resamples distinct
    instances, each with all its runs, so that repeated measurements do not pass for more data.

    Raises:
        ValueError: An instance has different labels in two runs: not the same data.
    """
    units, owners = _units(runs)
    if len(runs) == 1:
        return "single", compare_run(runs[0], bootstrap)
    if len(units) == sum(len(run.ids) for run in runs):
        joined: Any = type(runs[0]).joined(runs)  # type: ignore[arg-type]
        rows = compare_run(joined, bootstrap)
        return "pooled", [_with_std(row, runs) for row in rows]
    sampled = _mean_of_resamples(runs, owners, len(units), bootstrap)
    rows = []
    for name in runs[0].figures():
        pairs = np.array([run.figures()[name] for run in runs])
        baseline, rrnet = pairs.mean(axis=0)
        found = interval(float(rrnet - baseline), sampled[name], bootstrap.confidence)
        rows.append(_with_std(_row(name, baseline, rrnet, found, len(units)), runs))
    return "mean", rows


def _units(runs: Sequence[Run]) -> tuple[NDArray[np.str_], list[NDArray[np.int64]]]:
    """Distinct instances of all runs, and the row of each run's instances among them."""
    ids = np.concatenate([run.ids for run in runs])
    truth = np.concatenate([run.truth for run in runs])
    units, first, place = np.unique(ids, return_index=True, return_inverse=True)
    order = np.argsort(first)  # of first appearance, so that equal runs resample as one alone
    units, first = units[order], first[order]
    place = np.argsort(order)[place]
    if (truth != truth[first][place]).any():
        wrong = ids[truth != truth[first][place]][0]
        raise ValueError(f"'{wrong}' has different labels in two runs: they are of unlike data")
    return units, np.split(place, np.cumsum([len(run.ids) for run in runs])[:-1])


def _mean_of_resamples(
    runs: Sequence[Run],
    owners: Sequence[NDArray[np.int64]],
    num_units: int,
    bootstrap: Bootstrap,
) -> dict[str, NDArray[np.float64]]:
    """Resampled mean difference over runs; one seed gives every run the same resamples."""
    from scipy import sparse

    total: dict[str, NDArray[np.float64]] = {}
    for run, owner in zip(runs, owners, strict=True):
        num = len(owner)
        spread = sparse.csr_matrix((np.ones(num), (owner, np.arange(num))), (num_units, num))
        for name, values in bootstrap_sums(
            spread @ sparse.csr_matrix(run.columns()),
            run.statistic,
            resamples=bootstrap.resamples,
            seed=bootstrap.seed,
        ).items():
            total[name] = total.get(name, np.zeros(len(values))) + values / len(runs)
    return total


def _row(
    name: str, baseline: float, rrnet: float, found: Interval, num: int, p: float | None = None
) -> Row:
    return Row(
        name,
        float(baseline),
        float(rrnet),
        found.difference,
        found.low,
        found.high,
        found.p if p is None else p,
        "bootstrap" if p is None else "mcnemar-exact",
        num,
    )


def _percent(found: Interval) -> Interval:
    return Interval(100.0 * found.difference, 100.0 * found.low, 100.0 * found.high, found.p)


def _with_std(row: Row, runs: Sequence[Run]) -> Row:
    pairs = np.array([run.figures()[row.metric] for run in runs])
    baseline, rrnet = pairs.std(axis=0, ddof=1)
    difference = (pairs[:, 1] - pairs[:, 0]).std(ddof=1)
    return Row(
        **{
            **asdict(row),
            "baseline_std": float(baseline),
            "rrnet_std": float(rrnet),
            "difference_std": float(difference),
        }
    )
