"""Rows of reproduced tables: from evaluations to figures, and to Markdown, CSV and curves."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from rrnet_cli.evaluation.comparison import Bootstrap, aggregate, compare_run
from rrnet_cli.evaluation.oracle import OracleBound
from rrnet_cli.evaluation.published import Published
from rrnet_cli.evaluation.reproduction import (
    NOT_RUN,
    PUBLISHED,
    Figure,
    ResultLine,
    best_on_select,
    figures,
)
from rrnet_cli.evaluation.reproduction_pages import (
    FAST_WARNING,
    Reproduction,
    comparison_section,
    line_records,
    methods_section,
    statistics_section,
)
from rrnet_cli.evaluation.sweep_panels import sweep_panels
from tests.evaluation.runs import class_run, rating_run

BOOTSTRAP = Bootstrap(100, 0.95, 0)


def report(runs):
    """What `eval` writes of some runs, as far as tables read it."""
    estimate, rows = aggregate(runs, BOOTSTRAP)
    return {
        "folds_or_seeds": f"fold 1-{len(runs)}",
        "overall": {"estimate": estimate, "metrics": [row.as_json() for row in rows]},
        "runs": [{"metrics": [r.as_json() for r in compare_run(run, BOOTSTRAP)]} for run in runs],
    }


def line(**changes):
    found = figures({"plus": report([class_run(0, 40), class_run(1, 60, first=40)])}, "top1")
    given = {"data": "ESC-10", "backbone": "EnvNet", "metric": "top1", "ours": found}
    return ResultLine(**given | {"runs": "fold 1-2"} | changes)


def cells(section, row=0):
    return dict(zip(section.header, section.rows[row], strict=True))


def test_folds_are_pooled_and_averaged():
    runs = [class_run(0, 40), class_run(1, 60, first=40)]
    found = figures({"plus": report(runs)}, "top1")
    share = [100 * run.rrnet.top1.mean() for run in runs]
    ours = found["plus"]
    assert (ours.n, ours.runs) == (100, 2)
    assert ours.value == pytest.approx(0.4 * share[0] + 0.6 * share[1])
    assert ours.mean == pytest.approx(np.mean(share))
    assert ours.std == pytest.approx(np.std(share, ddof=1))
    assert ours.difference == pytest.approx(ours.value - found["baseline"].value)
    assert found["baseline"].difference is None


def test_seeds_are_averaged():
    runs = [rating_run(0), rating_run(1)]
    found = figures({"svdpp": report(runs)}, "rmse")
    expected = np.mean([np.sqrt(np.mean((run.rrnet - run.rating) ** 2)) for run in runs])
    assert found["svdpp"].value == pytest.approx(expected) == found["svdpp"].mean
    assert found["svdpp"].n == 80, "pairs, each in both runs"


def test_standard_error_is_that_of_a_share():
    assert Figure(75.0, 75.0, None, 300, 1).standard_error == pytest.approx(2.5)
    assert Figure(100.0, 100.0, None, 300, 1).standard_error == 0.0


def test_the_best_peer_is_chosen_by_the_mean_over_runs():
    top1 = {"knn": (0.9, 0.7), "gat": (0.8, 0.79), "logreg": (0.8, 0.8)}
    rows = {
        peer: [{"select_top1": value, "select_nll": 1.0} for value in values]
        for peer, values in top1.items()
    }
    rows["logreg"][0]["select_nll"] = 0.5
    assert best_on_select(rows) == "logreg", "equal accuracy: the likelihood decides"
    rmse = {
        "mf": [{"select_rmse": 0.8, "select_mae": 0.1}, {"select_rmse": 0.7, "select_mae": 0.1}],
        "bias": [{"select_rmse": 0.7, "select_mae": 0.9}, {"select_rmse": 0.7, "select_mae": 0.9}],
    }
    assert best_on_select(rmse) == "bias"
    assert best_on_select({}) is None


def test_a_row_sets_the_paper_beside_ours():
    row = line(
        paper_baseline=Published(87.2, 0.4),
        paper=Published(96.5),
        best_peer="plus",
        bound=OracleBound(100, 40, 30, 10),
        commit="abc",
    )
    shown = cells(comparison_section([row]))
    assert shown["paper: baseline"] == "87.2 ± 0.4" and shown["paper: RR-Net"] == "96.50"
    figure = row.ours["plus"]
    pooled = f"; pooled {figure.value:.2f} (s.e. {figure.standard_error:.2f})"
    assert shown["ours: plus"] == f"{figure.mean:.2f} ± {figure.std:.2f}{pooled}"
    assert shown["ours: paper preset"] == NOT_RUN, "one preset may be left out"
    assert shown["plus − baseline"].startswith(f"{figure.difference:+.2f} [")
    assert shown["best peer"] == f"plus: {shown['ours: plus']}"
    assert shown["oracle bound"] == "of 40 errors: 75.0 % a candidate, 25.0 % neighbours right"
    assert (shown["runs"], shown["commit"]) == ("fold 1-2", "abc")


def test_what_was_not_run_says_so():
    section = comparison_section(
        [line(ours={}, runs=NOT_RUN), line(ours={}, runs=PUBLISHED, paper=Published(1.0))]
    )
    left_out, printed = cells(section, 0), cells(section, 1)
    ours = [name for name in left_out if name.startswith("ours") or name == "best peer"]
    assert {left_out[name] for name in ours} == {NOT_RUN} and left_out["runs"] == NOT_RUN
    assert {printed[name] for name in ours} == {"—"} and printed["runs"] == PUBLISHED


def test_every_method_has_a_row():
    row = line(metric="rmse", method="svdpp", ours={}, paper=Published(0.846))
    other = line(metric="rmse", method="baseline", runs="split seed 0-1")
    section = methods_section([row, other], {"svdpp": "SVD++"}, "Every method")
    assert cells(section)["method"] == "SVD++" and cells(section)["paper"] == "0.846"
    assert cells(section)["ours"] == NOT_RUN
    assert cells(section, 1)["ours"].count("±") == 1


def test_statistics_stand_side_by_side():
    section, records = statistics_section(
        {"A": {"users": 1500}, "B": {"users": 7}}, {"A": {"users": 1501}, "B": None}, "abc"
    )
    assert section.rows == [("A", "1,500", "1,501", "abc"), ("B", "7", NOT_RUN, "abc")]
    assert [(r["data"], r["source"], r["value"]) for r in records] == [
        ("A", "paper", 1500), ("A", "ours", 1501), ("B", "paper", 7)
    ]  # fmt: skip


def test_a_page_is_one_line_a_figure_in_csv():
    row = line(
        paper_baseline=Published(87.2, 0.4),
        setting=("K", 4),
        commit="old",
        sources=("evaluation/x@1",),
    )
    page = Reproduction(
        "table5", "Title", [comparison_section([row])], line_records([row]),
        rows=[row, row], notes=["a note"], sources=["features/y@2"], fast=True, commit="abc",
    )  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(page.csv())))
    assert [(r["source"], r["method"]) for r in rows] == [
        ("paper", "baseline"), ("ours", "baseline"), ("ours", "plus")
    ]  # fmt: skip
    assert float(rows[2]["value"]) == row.ours["plus"].value
    assert rows[2]["setting"] == "K" and rows[2]["setting_value"] == "4"
    assert {r["budget"] for r in rows} == {"fast"} and rows[0]["difference"] == ""
    text = page.markdown()
    assert FAST_WARNING in text and "K = 4" in text and "- a note" in text
    assert "Made of: `evaluation/x@1`, `features/y@2`." in text
    assert [r["commit"] for r in rows] == ["abc", "old", "old"], "a row may be older than the page"
    assert FAST_WARNING not in Reproduction("table1", "T", [], []).markdown()


def test_curves_leave_out_what_was_not_run():
    rows = [
        line(setting=("K", 2)),
        line(setting=("K", 4)),
        line(data="ESC-50", ours={}, setting=("K", 5), paper=Published(79.4)),
        line(data="CIFAR-10", ours={}, setting=("K", 2)),
    ]
    mine, printed = sweep_panels(rows, "candidates, K")
    assert [curve["name"] for curve in mine["lines"]] == ["baseline", "plus"]
    assert [curve["level"] for curve in mine["lines"]] == [True, False]
    assert mine["lines"][1]["x"] == [2, 4]
    assert mine["lines"][1]["y"] == [rows[0].ours["plus"].value] * 2
    assert printed["title"].startswith("ESC-50")
    assert [(c["x"], c["y"], c["std"]) for c in printed["lines"]] == [([5], [79.4], [None])]
