"""Kept results: read back what was written, refuse what was not."""

import json
import os
import stat

import pytest
from pydantic import ValidationError

from rrnet_cli.errors import InputError, ResourceError
from rrnet_cli.evaluation import results

ROW = {
    "data": "esc10",
    "backbone": "logmel",
    "preset": "plus",
    "metric": "top1",
    "baseline": 85.25,
    "rrnet": 86.0,
    "difference": 0.75,
    "ci_low": -0.5,
    "ci_high": 2.0,
    "p": 0.4,
    "n": 400,
    "folds_or_seeds": "fold 1-5",
    "paper": 96.5,
    "command": "rrnet eval 'a|b'",
    "commit": "0123abc",
    "date": "2024-01-02",
    "baseline_std": 4.5,
    "rrnet_std": 4.125,
    "models": ["model/esc10@0123456789ab"],
}


def report(backbone="logmel"):
    rows = [
        {**ROW, "metric": metric, "p_method": "bootstrap", "difference_std": None}
        for metric in ("top1", "top5", "nll")
    ]
    return {
        "data": "esc10",
        "backbone": backbone,
        "preset": "plus",
        "folds_or_seeds": "fold 1-5",
        "runs": [{"model": "model/esc10@0123456789ab"}],
        "overall": {"metrics": rows},
    }


PAPER = {"top1.envnet": 96.5, "top1": 90.0}


@pytest.mark.parametrize(
    ("backbone", "paper", "expected"),
    [("envnet", PAPER, 96.5), ("logmel", PAPER, 90.0), ("logmel", {"top1.envnet": 96.5}, None)],
)
def test_rows_of_an_evaluation_keep_the_main_metric_and_the_papers(backbone, paper, expected):
    (row,) = results.result_rows(
        report(backbone), paper=paper, command="rrnet eval", commit=None, date="2024-01-02"
    )
    assert row.model_dump() == ROW | {
        "backbone": backbone,
        "paper": expected,
        "command": "rrnet eval",
        "commit": None,
    }


def test_a_file_is_a_list_of_rows_with_null_for_unknown(tmp_path):
    path = tmp_path / "new" / "esc10.json"
    results.write_results(path, [results.ResultRow(**ROW)])
    assert json.loads(path.read_text()) == [ROW]
    assert results.read_results(path.parent) == [results.ResultRow(**ROW)]
    assert [file.name for file in path.parent.iterdir()] == ["esc10.json"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "esc10.json"
    path.write_text("old")

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(ResourceError, match="No space left"):
        results.write_results(path, [results.ResultRow(**ROW)])
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["esc10.json"]


def test_the_table_has_one_line_a_row_and_the_papers_column_apart(tmp_path):
    for name, row in {
        "b": {**ROW, "preset": "paper"},
        "a": {**ROW, "best_peer": None},  # as rows were once kept
        "c": {"metric": "mae", "data": "ciao", "baseline": 0.72, "rrnet": 0.71},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps([row]))
    lines = results.results_markdown(results.read_results(tmp_path)).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert cells[0] == list(results.HEADER)
    assert [row[0] for row in cells[2:]] == ["ciao", "esc10", "esc10"]
    assert [row[2] for row in cells[3:]] == ["paper", "plus"]
    ciao, esc = (
        dict(zip(cells[0], cells[2], strict=True)),
        dict(zip(cells[0], cells[4], strict=True)),
    )
    assert esc["baseline"] == "85.25 ± 4.50"
    assert esc["difference"] == "+0.75 [-0.50, +2.00] no difference shown"
    assert (esc["paper"], esc["n"]) == ("96.50", "400")
    assert esc["command"] == "`rrnet eval 'a\\|b'`"
    assert (ciao["difference"], ciao["p"], ciao["paper"]) == ("—", "—", "—")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "is no JSON"),
        ('{"metric": "mae"}', "no list"),
        ('[{"data": "x"}]', "row 0: metric"),
        ('[{"metric": "mae"}, {"metric": "mae", "p": 2}]', "row 1: p"),
        ('[{"metric": "mae", "baseline": NaN}]', "row 0: baseline"),
        ('[{"metric": "accuracy"}]', "unknown metric"),
        ("[3]", "row 0"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, complaint):
    (tmp_path / "broken.json").write_text(content)
    with pytest.raises(InputError, match=complaint) as caught:
        results.read_results(tmp_path)
    assert "broken.json" in caught.value.message


def test_figures_of_speed_are_passed_over(tmp_path):
    (tmp_path / "bench.json").write_text(json.dumps({"kind": "benchmarks", "help_seconds": 0.2}))
    with pytest.raises(InputError, match="no JSON file of results"):
        results.read_results(tmp_path)
    (tmp_path / "esc10.json").write_text(json.dumps([ROW]))
    assert results.read_results(tmp_path) == [results.ResultRow(**ROW)]
    (tmp_path / "bench.json").write_text(json.dumps({"kind": "other"}))
    with pytest.raises(InputError, match=r"bench\.json holds no list"):
        results.read_results(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(InputError, match="no JSON file"):
        results.read_results(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        results.read_results(tmp_path / "nowhere")


def test_nan_is_no_figure():
    with pytest.raises(ValidationError):
        results.ResultRow(metric="mae", rrnet=float("nan"))
