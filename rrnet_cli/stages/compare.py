"""Evaluations side by side, and RR-Net against RR-Net where they judged the same instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation.classification import ClassRun, Judged
from rrnet_cli.evaluation.comparison import Bootstrap, Run, aggregate
from rrnet_cli.evaluation.ratings import RatingRun

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.store import Store

_Predictions = list[dict[str, Any]]
"""Columns of `predictions.parquet` of each run, sorted by instance."""


def compare(store: Store, refs: Sequence[str]) -> list[dict[str, Any]]:
    """Read evaluations for a table.

    Args:
        store: Where artifacts are.
        refs: At least two evaluations.

    Returns:
        One mapping an evaluation, in the order given: `evaluation`, `name` (short, unique),
        `data`, `estimate`, `metrics`, and `against_first`: by metric the paired difference of its
        RR-Net from the first one's, empty where they did not judge the same instances.

    Raises:
        ConfigError: Fewer than two, or evaluations of unlike tasks.
        UpstreamError: One is missing.
    """
    if len(refs) < 2:
        raise ConfigError("compare needs at least two evaluations", "rrnet compare REF REF …")
    artifacts = [store.resolve("evaluation", ref) for ref in refs]
    reports = [artifact.json("metrics.json") for artifact in artifacts]
    if len({report["task"] for report in reports}) > 1:
        raise ConfigError("classifications and ratings have no metric in common")
    first = _predictions(artifacts[0])
    return [
        {
            "evaluation": str(artifact.ref),
            "name": _short_name(artifact, artifacts),
            "data": report["data"],
            "split": report["split"],
            "estimate": report["overall"]["estimate"],
            "metrics": report["overall"]["metrics"],
            "against_first": {}
            if artifact is artifacts[0]
            else _against(first, _predictions(artifact), reports[0], report),
        }
        for artifact, report in zip(artifacts, reports, strict=True)
    ]


def _short_name(artifact: Artifact, among: Sequence[Artifact]) -> str:
    same = [other for other in among if other.ref.name == artifact.ref.name]
    return artifact.ref.name if len(same) == 1 else f"{artifact.ref.name}@{artifact.ref.version}"


def _predictions(artifact: Artifact) -> _Predictions:
    table = artifact.table("predictions.parquet")
    columns = {
        name: table[name].to_numpy()
        if str(table[name].type) in ("int64", "double")
        else np.array(table[name].to_pylist())
        for name in table.column_names
    }
    if "id" not in columns:
        pairs = zip(columns["user"], columns["item"], strict=True)
        columns["id"] = np.array([f"{user}\t{item}" for user, item in pairs])
    runs = []
    for label in dict.fromkeys(columns["run"].tolist()):
        mine = columns["run"] == label
        part = {name: column[mine] for name, column in columns.items()}
        order = np.argsort(part["id"], kind="stable")
        runs.append({name: column[order] for name, column in part.items()})
    return runs


def _against(
    first: _Predictions, other: _Predictions, first_report: Any, report: Any
) -> dict[str, Any]:
    """Paired differences, if run by run the two judged the same instances."""
    paired = len(first) == len(other) and all(
        np.array_equal(a["id"], b["id"]) and np.array_equal(_truth(a), _truth(b))
        for a, b in zip(first, other, strict=True)
    )
    if not paired or first_report["classes"] != report["classes"]:
        return {}
    settings = report["settings"]
    runs = [_as_run(a, b, report) for a, b in zip(first, other, strict=True)]
    bootstrap = Bootstrap(settings["resamples"], settings["confidence"], settings["seed"])
    return {row.metric: row.as_json() for row in aggregate(runs, bootstrap)[1]}


def _truth(columns: dict[str, Any]) -> Any:
    return columns["label"] if "label" in columns else columns["rating"]


def _as_run(first: dict[str, Any], other: dict[str, Any], report: Any) -> Run:
    """The first one's RR-Net takes the baseline's place."""
    bins = report["settings"]["bins"]
    if "rating" in first:
        return RatingRun(
            first["id"], first["rating"], first["prediction"], other["prediction"], bins
        )
    labels = first["label"]
    return ClassRun(
        first["id"],
        labels,
        Judged.from_columns(first, "rrnet", labels),
        Judged.from_columns(other, "rrnet", labels),
        other["candidate"],
        0,
        len(report["classes"]),
        bins,
    )
