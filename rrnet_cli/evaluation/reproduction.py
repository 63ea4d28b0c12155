"""Rows of a reproduced table: what was measured beside what the paper prints, as plain values.

A row is filled from the `metrics.json` of its evaluations; nothing here reads a store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from rrnet_cli.evaluation.oracle import OracleBound
from rrnet_cli.evaluation.published import Published
from rrnet_cli.training.selection import merit

NOT_RUN, PUBLISHED = "not run here", "published"
"""What stands in the column of runs where there are none."""
NO_UNITS = "plus-no-units"
"""The control: `plus` on the same graph without GCN units, so without what they add."""


@dataclass(frozen=True)
class Figure:
    """One method's figure on the test instances of all runs.

    Attributes:
        value: Of all test instances together (folds), or the mean over runs (seeds).
        mean, std: Over runs; std is the sample's, None for one run.
        n: Distinct test instances.
        runs: How many.
        difference: From the baseline on the same instances, between `ci_low` and `ci_high`; None
            for the baseline itself.
        p: Two-sided, of a paired test.
    """

    value: float
    mean: float
    std: float | None
    n: int
    runs: int
    difference: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None

    @property
    def standard_error(self) -> float:
        """Of a percentage of `n` instances, as if each were drawn alone."""
        share = self.value / 100.0
        return 100.0 * math.sqrt(max(share * (1.0 - share), 0.0) / self.n)


@dataclass(frozen=True)
class ResultLine:
    """One row: a data set and a baseline under one metric.

    Attributes:
        data: As the paper calls it.
        backbone: The baseline, or the method of a figure that is only published.
        metric: Key of `METRICS`.
        paper_baseline, paper: The paper's figures of the baseline and of RR-Net.
        ours: By `baseline`, preset, control or peer; empty where nothing was run.
        best_peer: The peer that is best on select.
        bound: What the graph could at best give.
        runs: Which folds or seeds, or why there are none.
        setting: Of a sweep, its name and value.
        method: Of a table with a row for each method, whose `paper` is then of this method.
        commit: Of the code that ran it; None where there are no runs.
        sources: References of the evaluations (or models) that it is made of.
    """

    data: str
    backbone: str
    metric: str
    paper_baseline: Published | None = None
    paper: Published | None = None
    ours: Mapping[str, Figure] = field(default_factory=dict)
    best_peer: str | None = None
    bound: OracleBound | None = None
    runs: str = NOT_RUN
    setting: tuple[str, int] | None = None
    method: str | None = None
    commit: str | None = None
    sources: tuple[str, ...] = ()


def figures(reports: Mapping[str, Mapping[str, Any]], metric: str) -> dict[str, Figure]:
    """The figures of one metric, and the baseline's, which all evaluations agree in.

    Args:
        reports: `metrics.json` by preset or peer.
        metric: Key of `METRICS`.
    """
    found: dict[str, Figure] = {}
    for method, report in reports.items():
        found.setdefault("baseline", _figure(report, metric, "baseline"))
        found[method] = _figure(report, metric, "rrnet")
    return found


def best_on_select(chosen_on: Mapping[str, Sequence[Mapping[str, float]]]) -> str | None:
    """The peer with the best mean over runs on select: top-1 then likelihood, or RMSE.

    Args:
        chosen_on: By peer, what it reaches on select in each run.

    Returns:
        Its name, the first of equals; None where there are none.
    """
    means = {
        peer: {name: fmean(row[name] for row in rows) for name in rows[0]}
        for peer, rows in chosen_on.items()
    }
    return max(means, key=lambda peer: merit(means[peer]), default=None)


def _figure(report: Mapping[str, Any], metric: str, side: str) -> Figure:
    row = _row(report["overall"]["metrics"], metric)
    single = [_row(run["metrics"], metric)[side] for run in report["runs"]]
    compared = ("difference", "ci_low", "ci_high", "p") if side == "rrnet" else ()
    return Figure(
        value=row[side],
        mean=sum(single) / len(single),
        std=row[f"{side}_std"],
        n=row["n"],
        runs=len(single),
        **{name: row[name] for name in compared},
    )


def _row(rows: Sequence[Mapping[str, Any]], metric: str) -> Mapping[str, Any]:
    return next(row for row in rows if row["metric"] == metric)
