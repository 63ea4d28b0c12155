"""What `rrnet extract` and `rrnet merge` say of what they made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rrnet_cli.store.store import Outcome


def describe(outcome: Outcome) -> str:
    """One line for people: instances a role, classes, and how good the baseline is."""
    summary: Mapping[str, Any] = outcome.artifact.manifest.summary
    state = "cached" if outcome.cached else f"{outcome.artifact.manifest.wall_seconds:.1f} s"
    head = f"{outcome.artifact.ref.name} ({state}): "
    if outcome.artifact.ref.kind == "baseline":
        return f"{head}{summary['backbone']} fitted, {summary['baseline']['epochs']} epochs"
    if outcome.artifact.ref.kind == "shard":
        return f"{head}{summary['backbone']}, {summary['instances']:,} instances"
    rating = summary["task"] == "rating"
    counts = summary["ratings" if rating else "instances"]
    parts = [", ".join(f"{count:,} {role}" for role, count in counts.items())]
    if rating:
        parts.append(
            f"{summary['users']:,} users, {summary['items']:,} items, {summary['links']:,} links"
        )
    else:
        parts.append(f"{summary['classes']} classes")
    scores = summary["baseline"]
    measures = ("mae", "rmse") if rating else ("top1",)
    over = ("oof", "hold", "select") if rating else ("fit", "oof", "hold", "select")
    shown = [f"{name}_{measure}" for name in over for measure in measures]
    parts.append(
        f"{summary['backbone']}: "
        + ", ".join(
            f"{key.replace('_', ' ')} {scores[key]:.{3 if rating else 1}f}"
            for key in shown
            if scores.get(key) is not None
        )
    )
    if summary.get("skipped"):
        parts.append(f"{summary['skipped']} unreadable files left out")
    return head + "; ".join(parts)
