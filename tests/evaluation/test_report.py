"""What people read: honest signs, and words where there is nothing to see."""

import pytest

from rrnet_cli.evaluation import comparison, report
from tests.evaluation.runs import class_run, rating_run


def row(metric="top1", difference=1.0, low=0.5, high=1.5, **more):
    return {
        "metric": metric,
        "baseline": 50.0,
        "rrnet": 50.0 + difference,
        "difference": difference,
        "ci_low": low,
        "ci_high": high,
        "p": 0.04,
        "n": 1234,
        "baseline_std": None,
        "rrnet_std": None,
        "difference_std": None,
    } | more


@pytest.mark.parametrize(
    ("metric", "difference", "low", "high", "expected"),
    [
        ("top1", 1.0, 0.5, 1.5, "+1.00 [+0.50, +1.50] better"),
        ("top1", -1.0, -1.5, -0.5, "-1.00 [-1.50, -0.50] worse"),
        ("top1", 1.0, -0.5, 2.5, "+1.00 [-0.50, +2.50] no difference shown"),
        ("top1", 1.0, 0.0, 2.0, "+1.00 [+0.00, +2.00] no difference shown"),
        ("mae", -0.1, -0.2, -0.05, "-0.1000 [-0.2000, -0.0500] better"),
        ("rmse", 0.1, 0.05, 0.2, "+0.1000 [+0.0500, +0.2000] worse"),
        ("nll", 0.1, -0.05, 0.2, "+0.1000 [-0.0500, +0.2000] no difference shown"),
    ],
)
def test_sign_and_verdict(metric, difference, low, high, expected):
    assert report.format_difference(row(metric, difference, low, high)) == expected


def test_p_is_never_zero():
    assert report.format_p(0.0) == "<0.001"
    assert report.format_p(0.0456) == "0.046"


def document(runs, estimate="single", task="classification", split="test"):
    bootstrap = comparison.Bootstrap(100, 0.95, 0)
    found, rows = comparison.aggregate(runs, bootstrap)
    assert found == estimate
    return {
        "task": task,
        "data": "esc10",
        "backbone": "logmel",
        "preset": "plus",
        "split": split,
        "settings": {"confidence": 0.95},
        "runs": [
            {
                "label": f"fold {index}",
                "metrics": [r.as_json() for r in comparison.compare_run(run, bootstrap)],
            }
            for index, run in enumerate(runs, 1)
        ],
        "overall": {
            "estimate": estimate,
            "metrics": [r.as_json() for r in rows],
            "detail": type(runs[0]).joined(runs).detail("abcd"),
        },
    }


def test_a_single_evaluation():
    text = report.evaluation_text(document([class_run()]))
    lines = text.splitlines()
    assert lines[0] == "esc10, logmel, preset plus, split test"
    assert " ".join(lines[1].split()) == "metric baseline RR-Net difference [95 % CI] p n"
    assert [line for line in lines if line.startswith("top-1 accuracy")]
    assert len([line for line in lines if "[" in line]) == 1 + 5
    assert "one of 60 instances is 1.7 points" in text
    assert "optimistic" not in text


def test_folds_have_their_rows_the_spread_and_the_pool():
    text = report.evaluation_text(document([class_run(1), class_run(2, first=99)], "pooled"))
    labels = [line.split("  ")[0] for line in text.splitlines() if line.startswith("top-1")]
    assert [label.partition(", ")[2] for label in labels] == [
        "fold 1",
        "fold 2",
        "mean ± std",
        "pooled",
    ]
    assert " ± " in text and "2 runs" in text and "120" in text


def test_the_spread_row_gives_means_over_runs():
    runs = [class_run(1), class_run(2, num=20, first=99)]
    text = report.evaluation_text(document(runs, "pooled"))
    line = next(line for line in text.splitlines() if line.startswith("top-1 accuracy (%), mean"))
    mean = sum(run.figures()["top1"][0] for run in runs) / 2
    assert f"{mean:.2f} ± " in line


def test_seeds_have_their_spread_beside_the_mean():
    text = report.evaluation_text(document([rating_run(1), rating_run(2)], "mean", "rating"))
    assert "pooled" not in text
    assert "resample distinct instances" in text
    assert [line for line in text.splitlines() if line.startswith("RMSE, mean ± std")]


def test_the_select_split_is_called_optimistic():
    assert "optimistic" in report.evaluation_text(document([class_run()], split="select"))


def test_markdown_escapes_what_would_break_a_table():
    table = report.markdown_table(("a", "b"), [("x|y", "two\nlines")], frozenset({"b"}))
    assert table == "| a | b |\n| --- | ---: |\n| x\\|y | two lines |"


def test_comparison_goes_metric_by_metric():
    evaluations = [
        {
            "name": "one",
            "estimate": "single",
            "metrics": [row("mae"), row("rmse")],
            "against_first": {},
        },
        {
            "name": "two",
            "estimate": "single",
            "metrics": [row("mae"), row("rmse")],
            "against_first": {"mae": row("mae", -0.1, -0.2, -0.05)},
        },
    ]
    header, rows = report.comparison_table(evaluations)
    assert len(header) == len(rows[0])
    assert [cells[:2] for cells in rows] == [
        ["MAE", "one"],
        ["MAE", "two"],
        ["RMSE", "one"],
        ["RMSE", "two"],
    ]
    assert rows[1][-1] == "-0.1000 [-0.2000, -0.0500] better"
    assert rows[0][-1] == rows[3][-1] == "-"
