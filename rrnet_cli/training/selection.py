"""The one rule by which epochs, settings and peers are chosen on select."""

from __future__ import annotations

from collections.abc import Mapping


def merit(metrics: Mapping[str, float]) -> tuple[float, ...]:
    """Larger is better: top-1, then likelihood; or RMSE.

    Args:
        metrics: `select_top1` and `select_nll`, or `select_rmse`; others are not looked at.
    """
    if "select_top1" in metrics:
        return metrics["select_top1"], -metrics["select_nll"]
    return (-metrics["select_rmse"],)
