"""Stage `eval`: models to an evaluation artifact: baseline | RR-Net | difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation import plots
from rrnet_cli.evaluation.classification import ClassRun
from rrnet_cli.evaluation.comparison import Bootstrap, Run, aggregate, compare_run
from rrnet_cli.evaluation.report import PRINCIPAL
from rrnet_cli.progress import Reporter
from rrnet_cli.stages._runs import default_name, folds_or_seeds, grouped, run_labels
from rrnet_cli.stages.judging import Source, judge
from rrnet_cli.store.artifact import ArtifactRef, Key

if TYPE_CHECKING:
    import pyarrow as pa

    from rrnet_cli.settings import EvalSettings
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store

_HISTORY = "history.parquet"


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

    With `settings.average` the models of one graph, of other seeds, answer together: by the mean
    of their probabilities (or ratings), edge by edge.

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
        ConfigError: Models that are not folds or seeds of one setting, or of which no average
            can be taken, or an empty split.
        UpstreamError: A model, graph or features artifact is missing or does not fit the others.
    """
    sources = [Source.open(store, ref) for ref in models or (None,)]
    groups = grouped(sources, settings.average)
    key = Key(
        kind="evaluation",
        name=name or default_name(groups),
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
            for members in groups:
                said = []
                for source in members:
                    said.append(scoring.score(store, source.model, device))
                    task.advance()
                runs.append(judge(members[0], np.mean(said, axis=0), settings))
        report = _report(settings, groups, runs)
        draft.write_json("metrics.json", report)
        draft.write_table("predictions.parquet", _predictions(report, runs))
        if settings.plots:
            _draw(draft, report, groups)
        draft.summary.update(_summary(report))

    return store.materialise(key, build, force=force)


def _report(settings: EvalSettings, groups: Sequence[Sequence[Source]], runs: Sequence[Run]) -> Any:
    """Content of `metrics.json`."""
    bootstrap = Bootstrap(settings.resamples, settings.confidence, settings.seed)
    first = groups[0][0]
    classes = first.class_names()
    labels = run_labels(groups)
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
        "folds_or_seeds": folds_or_seeds(groups),
        "classes": classes,
        "runs": [
            {
                "label": label,
                "model": str(members[0].model.ref),
                **({"averaged": [str(s.model.ref) for s in members]} if settings.average else {}),
                "graph": str(members[0].graph.ref),
                "features": str(members[0].features.ref),
                "n": len(run.ids),
                "metrics": [row.as_json() for row in compare_run(run, bootstrap)],
            }
            for label, members, run in zip(labels, groups, runs, strict=True)
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


def _draw(draft: Draft, report: Mapping[str, Any], groups: Sequence[Sequence[Source]]) -> None:
    detail = report["overall"]["detail"]
    sources = [source for members in groups for source in members]
    title = f"{report['data']}, {report['backbone']}, preset {report['preset']}, {report['split']}"
    counted = "predictions" if report["overall"]["estimate"] == "mean" else "instances"
    over = f"{title}: {detail['n']:,} {counted}"
    over += f" of {len(groups)} runs" if len(groups) > 1 else ""
    over += f"\naverages of {len(groups[0])} models" if len(groups[0]) > 1 else ""
    histories = [
        (label, source.model.table(_HISTORY).to_pydict())
        for label, source in zip(run_labels([[each] for each in sources]), sources, strict=True)
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
