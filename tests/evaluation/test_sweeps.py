"""Ranking by the mean over seeds, and what people read of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rrnet_cli.evaluation.sweeps import rank, settings_table, sweep_markdown, sweep_text


def row(setting: int, lr: float, seed: int, top1: float | None, nll: float = 0.5) -> dict[str, Any]:
    done = top1 is not None
    return {
        "trial": 10 * setting + seed,
        "setting": setting,
        "lr": lr,
        "seed": seed,
        "select_nll": nll if done else math.nan,
        "select_top1": top1 if done else math.nan,
        "best_epoch": 3 if done else -1,
        "epochs_run": 9 if done else -1,
        "wall_seconds": 1.25 if done else math.nan,
        "status": "done" if done else "diverged",
        "model": f"model/m@{setting}{seed}" if done else "",
    }


ROWS = [
    row(1, 0.1, 0, 0.80),
    row(1, 0.1, 1, 0.90),
    row(2, 0.2, 0, 0.99),
    row(2, 0.2, 1, None),
    row(3, 0.3, 0, 0.84),
    row(3, 0.3, 1, 0.88),
    row(4, 0.4, 0, None),
    row(4, 0.4, 1, None),
]


def test_the_best_mean_wins_and_a_setting_that_diverged_comes_after() -> None:
    """0.1 and 0.3 have 0.85 and 0.86; the best single trial, 0.99, has a twin that diverged."""
    ranked = rank(ROWS, ["lr"])
    assert [each.values["lr"] for each in ranked] == [0.3, 0.1, 0.2, 0.4]
    assert ranked[0].mean["select_top1"] == pytest.approx(0.86)
    assert ranked[0].std["select_top1"] == pytest.approx(0.04 / math.sqrt(2))
    assert [each.diverged for each in ranked] == [0, 0, 1, 2]
    assert ranked[2].seeds == (0,) and ranked[3].mean == {}


def test_the_likelihood_breaks_a_tie_and_the_first_tried_another() -> None:
    rows = [row(1, 0.1, 0, 0.9, 0.5), row(2, 0.2, 0, 0.9, 0.4), row(3, 0.3, 0, 0.9, 0.4)]
    assert [each.values["lr"] for each in rank(rows, ["lr"])] == [0.2, 0.3, 0.1]


def test_a_low_rmse_is_better() -> None:
    rows = [
        {**row(number, lr, 0, 0.0), "select_rmse": rmse, "select_mae": 0.1}
        for number, (lr, rmse) in enumerate([(0.1, 0.9), (0.2, 0.7), (0.3, 0.8)], 1)
    ]
    for each in rows:
        del each["select_top1"], each["select_nll"]
    assert [each.values["lr"] for each in rank(rows, ["lr"])] == [0.2, 0.3, 0.1]


def test_the_table_says_mean_deviation_and_what_diverged() -> None:
    header, cells = settings_table(ROWS, ["lr"])
    assert header == ["lr", "select_top1", "select_nll", "seeds"]
    assert cells[0] == ["0.3", "0.8600 ± 0.0283", "0.5000 ± 0.0000", "2"]
    assert cells[2] == ["0.2", "0.9900", "0.5000", "1, 1 diverged"]
    assert cells[3] == ["0.4", "—", "—", "0, 2 diverged"]


def test_text_and_page_hold_every_trial_and_the_command() -> None:
    command = "rrnet train g --set lr=0.3 --seed 0"
    for text in (sweep_text(ROWS, ["lr"], [command]), sweep_markdown(ROWS, ["lr"], [command], "T")):
        assert command in text and text.count("diverged") >= 4
        assert all(each["model"] in text for each in ROWS)


def test_one_seed_needs_no_second_table() -> None:
    text = sweep_text(ROWS[::2], ["lr"], [])
    assert "±" not in text and "seed" not in text.splitlines()[0]
