"""Stage `eval`: models to an evaluation artifact: baseline | RR-Net | difference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation import plots
from rrnet_cli.evaluation.classification import ClassRun
from rrnet_cli.evaluation.comparison import Bootstrap, Run, aggregate, compare_run
from rrnet_cli.evaluation.report import PRINCIPAL
from rrnet_cli.progress import Reporter
from rrnet_cli.stages.judging import Source, judge
from rrnet_cli.store.artifact import ArtifactRef, Key

if TYPE_CHECKING:
    import pyarrow as pa

    from rrnet_cli.settings import EvalSettings
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store

_HISTORY = "history.parquet"

_FREE = {
    "features": ("data.fold", "data.split_seed", "seed"),
    "graph": ("shuffle_intra",),
    "model": ("seed",),
}
"""Parameters in which the runs of one evaluation may differ, if all have them: folds and seeds."""


def evaluate(
    settings: EvalSettings,
    *,
    store: Store,
    models: Sequence[str | None],
    name: str | None,
    reporter: Reporter,
    force: bool = False,
    device: str = "auto",
) -> Outcome:
    """Judge one model, or the models of several folds or seeds, against their baselines.

    Args:
        settings: Of the stage.
        store: Where artifacts are.
        models: References of models; empty or None for the newest.
        name: Of the evaluation; the model's name (without its fold or seed, if several).
        reporter: Progress and notes.
        force: Judge again even where the same version is there.
        device: Where RR-Net computes its scores.

    Returns:
        The evaluation: `metrics.json`, `predictions.parquet` and, unless unwanted, `plots/*.png`.

    Raises:
        ConfigError: Models that are not folds or seeds of one setting, or an empty split.
        UpstreamError: A model, graph or features artifact is missing or does not fit the others.
    """
    sources = [Source.open(store, ref) for ref in models or (None,)]
    _check_runs(sources)
    key = Key(
        kind="evaluation",
        name=name or _default_name([source.model.ref.name for source in sources]),
        params=settings.recorded(),
        inputs=_inputs(sources),
        data=None,
    )
    if settings.split == "select":
        reporter.note("the model was chosen on this split: its figures are optimistic")

    def build(draft: Draft) -> None:
        # here, so that a cached evaluation is answered without torch and DGL
        from rrnet_cli.stages import scoring

        runs = []
        with reporter.task("judging", len(sources), unit="model") as task:
            for source in sources:
                runs.append(judge(source, scoring.score(store, source.model, device), settings))
                task.advance()
        report = _report(settings, sources, runs)
        draft.write_json("metrics.json", report)
        draft.write_table("predictions.parquet", _predictions(report, runs))
        if settings.plots:
            _draw(draft, report, sources)
        draft.summary.update(_summary(report))

    return store.materialise(key, build, force=force)


def _report(settings: EvalSettings, sources: Sequence[Source], runs: Sequence[Run]) -> Any:
    """Content of `metrics.json`."""
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.seed)
    first = sources[0]
    classes = first.class_names()
    labels = _labels(sources)
    try:
        estimate, overall = aggregate(runs, bootstrap)
    except ValueError as error:
        raise ConfigError(str(error), "evaluate them one by one") from error
    joined: Any = type(runs[0])
    joined = joined.joined(runs)
    return {
        "task": first.task,
        "data": first.data,
        "recipe": first.features.manifest.summary.get("recipe"),
        "backbone": first.backbone,
        "preset": first.preset,
        "split": settings.split,
        "settings": settings.recorded(),
        # the graph joins all instances: RR-Net has seen the test inputs, never their labels
        "protocol": "transductive",
        "folds_or_seeds": _folds_or_seeds(sources),
        "classes": classes,
        "runs": [
            {
                "label": label,
                "model": str(source.model.ref),
                "graph": str(source.graph.ref),
                "features": str(source.features.ref),
                "n": len(run.ids),
                "metrics": [row.as_json() for row in compare_run(run, bootstrap)],
            }
            for label, source, run in zip(labels, sources, runs, strict=True)
        ],
        "overall": {
            "estimate": estimate,
            "metrics": [row.as_json() for row in overall],
            "detail": joined.detail(classes),
        },
    }


def _summary(report: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("task", "data", "backbone", "preset", "split", "folds_or_seeds")
    overall = report["overall"]
    return {
        **{key: report[key] for key in keys},
        "estimate": overall["estimate"],
        "metrics": [row for row in overall["metrics"] if row["metric"] in PRINCIPAL],
    }


def _predictions(report: Mapping[str, Any], runs: Sequence[Run]) -> pa.Table:
    """One row an instance and run, in the order of the runs."""
    import pyarrow as pa

    parts = []
    for entry, run in zip(report["runs"], runs, strict=True):
        columns: dict[str, Any] = {"run": [entry["label"]] * len(run.ids)}
        if isinstance(run, ClassRun):
            columns |= {"id": run.ids, "label": run.labels, "candidate": run.candidate}
            columns |= run.baseline.as_columns("baseline") | run.rrnet.as_columns("rrnet")
        else:
            user, item = np.char.partition(run.ids, "\t")[:, (0, 2)].T
            columns |= {"user": user, "item": item, "rating": run.rating}
            columns |= {"prior": run.baseline, "prediction": run.rrnet}
        parts.append(
            pa.table(
                {
                    name: pa.array(
                        column.tolist()
                        if getattr(column, "dtype", np.dtype(float)).kind == "U"
                        else column
                    )
                    for name, column in columns.items()
                }
            )
        )
    return pa.concat_tables(parts)


def _draw(draft: Draft, report: Mapping[str, Any], sources: Sequence[Source]) -> None:
    detail = report["overall"]["detail"]
    runs = report["runs"]
    title = f"{report['data']}, {report['backbone']}, preset {report['preset']}, {report['split']}"
    counted = "predictions" if report["overall"]["estimate"] == "mean" else "instances"
    over = f"{title}: {detail['n']:,} {counted}"
    over += f" of {len(runs)} runs" if len(runs) > 1 else ""
    histories = [
        (run["label"], source.model.table(_HISTORY).to_pydict())
        for run, source in zip(runs, sources, strict=True)
        if _HISTORY in source.model.manifest.files  # a peer has none
    ]
    if histories:
        heading = f"Training of RR-Net: {title.rpartition(',')[0]}"
        plots.curves(draft.path("plots/curves.png"), histories, heading)
    if report["task"] == "rating":
        plots.rating_reliability(
            draft.path("plots/calibration.png"), detail["reliability"], f"Calibration\n{over}"
        )
        return
    plots.reliability(
        draft.path("plots/calibration.png"), detail["reliability"], f"Calibration\n{over}"
    )
    plots.confusion(
        draft.path("plots/confusion.png"),
        detail["confusion"],
        report["classes"],
        f"Confusion\n{over}",
    )


def _inputs(sources: Sequence[Source]) -> dict[str, ArtifactRef]:
    """Models in the order given, and what they were made from, each once."""
    inputs: dict[str, ArtifactRef] = {}
    for role in ("model", "graph", "features"):
        refs = list(dict.fromkeys(getattr(source, role).ref for source in sources))
        inputs |= (
            {role: refs[0]}
            if len(refs) == 1
            else {f"{role}{number}": ref for number, ref in enumerate(refs, 1)}
        )
    return inputs


def _check_runs(sources: Sequence[Source]) -> None:
    """Refuse to average over anything but folds and seeds of one setting.

    Raises:
        ConfigError: Names what differs.
    """
    versions = [source.model.ref.version for source in sources]
    if len(set(versions)) < len(versions):
        raise ConfigError("a model is given twice", "give each fold or seed once")
    first = sources[0]
    for other in sources[1:]:
        for role, free in _FREE.items():
            ours, theirs = getattr(first, role).manifest, getattr(other, role).manifest
            mine, its = _flat(ours.params), _flat(theirs.params)
            unlike = sorted(
                name
                for name in mine | its
                if mine.get(name) != its.get(name)
                and (name not in free or None in (mine.get(name), its.get(name)))
            )
            if ours.data != theirs.data:
                unlike.append("the raw data")
            if unlike:
                raise ConfigError(
                    f"{first.model.ref} and {other.model.ref} are no folds or seeds of one "
                    f"setting: {role} differs in {', '.join(unlike)}",
                    "evaluate each by itself, then `rrnet compare` them",
                )


def _varying(source: Source) -> dict[str, Any]:
    data, model = _flat(source.features.manifest.params), source.model.manifest.params
    return {
        "fold": data.get("data.fold"),
        "split seed": data.get("data.split_seed"),
        "baseline seed": data.get("seed"),
        "seed": model.get("seed"),
        "permutation": source.graph.manifest.params.get("shuffle_intra"),
    }


def _labels(sources: Sequence[Source]) -> list[str]:
    """What tells the runs apart: ``fold 3``, ``seed 1``; a single run is named the same way."""
    varying = [_varying(source) for source in sources]
    keys = [key for key in varying[0] if len({str(values[key]) for values in varying}) > 1]
    if all(len({str(values[key]) for key in keys}) == 1 for values in varying):
        keys = keys[:1]  # one number steers them all
    if not keys:
        keys = ["fold"] if varying[0]["fold"] is not None else ["seed"]
    return [", ".join(f"{key} {values[key]}" for key in keys) for values in varying]


def _folds_or_seeds(sources: Sequence[Source]) -> str:
    """All labels in short: ``fold 1-5``, ``seed 0``."""
    varying = [_varying(source) for source in sources]
    for key in varying[0]:
        values = [values[key] for values in varying]
        if len(set(values)) == len(values) and len(values) > 1 and None not in values:
            ordered = sorted(values)
            if ordered == list(range(ordered[0], ordered[-1] + 1)):
                return f"{key} {ordered[0]}-{ordered[-1]}"
            return f"{key} {', '.join(map(str, ordered))}"
    return "; ".join(_labels(sources))


def _default_name(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    bare = {re.sub(r"-(fold|seed)\d+", "", name) for name in names}
    return bare.pop() if len(bare) == 1 else f"{names[0]}-and-{len(names) - 1}-more"


def _flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in params.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat
