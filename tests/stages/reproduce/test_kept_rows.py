"""Rows of an earlier run in the pages that are more than a table of rows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from rrnet_cli.evaluation.kept_pages import KeptPage
from rrnet_cli.evaluation.reproduction import Figure, ResultLine
from rrnet_cli.stages.reproduce import reproduce, sweeps, table4
from rrnet_cli.stages.reproduce.cases import Options


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch):
    """The page of a target that runs nothing and has kept rows."""
    for module in (sweeps, table4):
        monkeypatch.setattr(module, "chosen", lambda lines, options: [])

    def made(target: str, *rows: ResultLine):
        options = Options(data=Path("data"), commit="new", kept=lambda: KeptPage(rows))
        return reproduce(target, SimpleNamespace(options=options, notes=[]))

    return made


def figures(**values: float) -> dict[str, Figure]:
    return {name: Figure(value, value, 0.01, 100, 5) for name, value in values.items()}


def test_a_kept_row_of_ratings_gives_its_methods_too(page) -> None:
    ours = figures(baseline=0.8, plus=0.7, **{"plus with links": 0.75})
    kept = ResultLine(
        "FilmTrust", "rating-factors", "rmse", ours=ours, runs="split seed 0-4", commit="old",
        sources=("evaluation/x@1",),
    )  # fmt: skip
    made = page("table4", kept)
    summary, methods = made.sections
    (row,) = [row for row in summary.rows if "old" in row]
    assert row[:3] == ("FilmTrust", "rating-factors", "RMSE") and "0.7000 ± 0.0100" in row
    found = {row[1]: row[-1] for row in methods.rows if row[2] == "RMSE" and row[0] == "FilmTrust"}
    assert found["factors of SVD++ (a stronger baseline)"] == "old"
    assert found["RR-Net, plus on the factors with trust links"] == "old"
    assert found["RR-Net, plus on the biases"] == "—"
    assert "`evaluation/x@1`" in made.markdown()


def test_a_kept_value_of_a_sweep_is_drawn(page) -> None:
    rows = [
        ResultLine("CIFAR-10", "ResNet18", "top1", ours=figures(baseline=80.0, plus=value),
                   runs="seed 0", setting=("h", h), commit=f"c{h}")
        for h, value in ((4, 80.1), (64, 80.2))
    ]  # fmt: skip
    made = page("fig3", *rows)
    (panel,) = made.panels
    assert panel["title"] == "CIFAR-10, ResNet18"
    assert [(line["x"], line["y"]) for line in panel["lines"]] == [
        ([4, 64], [80.0, 80.0]), ([4, 64], [80.1, 80.2])
    ]  # fmt: skip
    records = [r for r in made.records if r["data"] == "CIFAR-10" and r.get("method") == "plus"]
    assert [(r["setting_value"], r["commit"]) for r in records] == [(4, "c4"), (64, "c64")]
