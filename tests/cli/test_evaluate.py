"""`rrnet eval`, `compare` and `results` from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rrnet_cli.store.store import Store
from tests.stages.evaluations import (
    class_problem,
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


def test_commands(store, invoke):
    """`eval`, `compare` and `results` from end to end."""
    first, second = (class_problem(store, fold) for fold in (1, 2))
    options = ("--artifacts", store.root, "--resamples", 100)
    kept = Path("kept/esc10.json")
    done = invoke("eval", first, second, *options, "--save-results", kept)
    assert done.code == 0, done.err
    assert "top-1 accuracy (%), pooled" in done.out and "mean ± std" in done.out
    rows = json.loads(kept.read_text())
    assert [row["metric"] for row in rows] == ["top1"]
    assert rows[0]["paper"] == 96.5
    assert rows[0]["command"] == (
        f"rrnet eval {first} {second} --artifacts artifacts --resamples 100 "
        "--save-results kept/esc10.json"
    )
    assert rows[0]["folds_or_seeds"] == "fold 1-2"

    cached = invoke("--json", "eval", first, second, *options)
    assert cached.json["cached"] and cached.json["overall"]["estimate"] == "pooled"
    assert "cached" in cached.err

    assert invoke("eval", second, *options).code == 0
    both = invoke("compare", "toy-plus", second.name, "--artifacts", store.root)
    assert both.code == 0 and "RR-Net against the first" in both.out

    table = invoke("results", "kept", "--write", "table.md")
    assert table.code == 0 and table.out.count("\n") == 3
    assert Path("table.md").read_text().endswith(table.out)
    assert "do not edit" in Path("table.md").read_text()
    assert invoke("--json", "results", "kept").json["rows"] == rows

    assert invoke("results", "nowhere").code == 3
    assert invoke("eval", "nobody", *options).code == 4
    assert invoke("eval", first, *options, "--split", "fit").code == 2
    assert invoke("compare", "toy-plus", "--artifacts", store.root).code == 2
