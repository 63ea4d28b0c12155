from __future__ import annotations

import pytest

from rrnet_cli.training.selection import merit


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"select_top1": 0.5, "select_nll": 1}, {"select_top1": 0.4, "select_nll": 0}),
        ({"select_top1": 0.5, "select_nll": 1}, {"select_top1": 0.5, "select_nll": 2}),
        ({"select_mae": 0.7, "select_rmse": 0.8}, {"select_mae": 0.6, "select_rmse": 0.9}),
    ],
)
def test_top1_decides_then_likelihood_and_rmse_of_ratings(
    better: dict[str, float], worse: dict[str, float]
) -> None:
    assert merit(better) > merit(worse)
