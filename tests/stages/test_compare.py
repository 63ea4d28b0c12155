"""Evaluations side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from rrnet_cli.errors import ConfigError
from rrnet_cli.settings import EvalSettings
from rrnet_cli.stages.compare import compare
from rrnet_cli.store.store import Store
from tests.stages.evaluations import (
    class_problem,
    metric,
    rating_problem,
    run,
    some_scores,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture(autouse=True)
def no_network_and_no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests are about figures; `monkeypatch.undo()` brings plots and the real score back."""
    monkeypatch.setattr("rrnet_cli.stages.scoring.score", some_scores)
    monkeypatch.setattr("rrnet_cli.stages.evaluate._draw", lambda *arguments: None)


def test_compare_pairs_what_judged_the_same_instances(store):
    first, second = (run(store, class_problem(store, 1, preset=p)) for p in ("paper", "plus"))
    other = run(store, class_problem(store, 2))
    refs = [str(outcome.artifact.ref) for outcome in (first, second, other)]
    one, two, three = compare(store, refs)
    assert one["against_first"] == three["against_first"] == {}
    assert two["against_first"]["top1"]["difference"] == 0  # some_scores knows no preset
    assert two["metrics"] == second.artifact.json("metrics.json")["overall"]["metrics"]
    assert (one["name"], three["name"]) == ("toy-fold1-paper", "toy-fold2-plus")


def test_compare_gives_the_difference_of_the_two_rr_nets(store):
    outcomes = [run(store, class_problem(store, seed=seed)) for seed in (0, 3)]
    rows = [outcome.artifact.json("metrics.json")["overall"]["metrics"] for outcome in outcomes]
    _, second = compare(store, [str(outcome.artifact.ref) for outcome in outcomes])
    assert set(second["against_first"]) == {"top1", "top5", "macro_f1", "nll", "ece"}
    for name, row in second["against_first"].items():
        expected = metric(rows[1], name)["rrnet"] - metric(rows[0], name)["rrnet"]
        assert row["difference"] == pytest.approx(expected), name
    assert second["against_first"]["top1"]["difference"] != 0
    assert "@" in second["name"]  # both evaluations have one name


def test_compare_of_ratings(store):
    model = rating_problem(store)
    refs = [
        str(run(store, model, settings=EvalSettings(resamples=r)).artifact.ref) for r in (100, 50)
    ]
    assert compare(store, refs)[1]["against_first"]["rmse"]["difference"] == 0


def test_compare_refuses_what_has_nothing_in_common(store):
    classes, ratings = run(store, class_problem(store)), run(store, rating_problem(store))
    with pytest.raises(ConfigError, match="no metric in common"):
        compare(store, [str(o.artifact.ref) for o in (classes, ratings)])
    with pytest.raises(ConfigError, match="at least two"):
        compare(store, [str(classes.artifact.ref)])


def test_compare_of_several_runs_goes_run_by_run(store):
    outcomes = [
        run(store, *(class_problem(store, seed=seed) for seed in seeds), name=f"seeds{seeds[0]}")
        for seeds in ((0, 1), (3, 4))
    ]
    reports = [outcome.artifact.json("metrics.json")["overall"] for outcome in outcomes]
    assert [report["estimate"] for report in reports] == ["mean", "mean"]
    _, second = compare(store, [str(outcome.artifact.ref) for outcome in outcomes])
    for name in ("macro_f1", "ece"):  # of these a mean over runs is not that of all together
        first, other = (metric(report["metrics"], name)["rrnet"] for report in reports)
        assert second["against_first"][name]["difference"] == pytest.approx(other - first)
        assert second["against_first"][name]["n"] == reports[0]["metrics"][0]["n"]
