"""Command `sweep`: train many settings of one graph, and choose among them on SELECT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation import sweep_plots
from rrnet_cli.evaluation.sweep_plots import Panel
from rrnet_cli.evaluation.sweeps import (
    DIVERGED,
    DONE,
    format_value,
    metrics_of,
    rank,
    sweep_markdown,
)
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import SweepSettings, TrainSettings
from rrnet_cli.stages._trials import Job, train_all
from rrnet_cli.stages.train import model_key
from rrnet_cli.store.artifact import Key
from rrnet_cli.training.search import SEED, as_text

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store

TRIALS, REPORT, PLOT = "trials.parquet", "report.md", "trials.png"
_LOG_SPAN = 10
"""A grid whose positive values span this factor is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Trial:
    """One setting with one seed.

    Attributes:
        settings: Of its training.
        options: With which `rrnet train GRAPH` has them, but for the seed.
    """

    settings: TrainSettings
    options: tuple[str, ...]


def sweep(
    settings: SweepSettings,
    trials: Sequence[Trial],
    *,
    store: Store,
    graph: str | None,
    name: str | None,
    jobs: int,
    reporter: Reporter,
    force: bool = False,
) -> Outcome:
    """Train every trial that is not trained yet, and rank them on the select split.

    A trial is an ordinary model, of the version that `train` gives it. It is named
    `<graph>-<preset>-sweep`, unless it is there under another name already.

    Args:
        settings: What is varied, and how the trials came about.
        trials: All different.
        store: Where artifacts are.
        graph: Reference of the graph; None for the newest.
        name: Of the sweep; `<graph>-<preset>-sweep` where None.
        jobs: Trainings at a time, each in a process of its own if more than one.
        reporter: Progress and notes.
        force: Rank again even where the same version is there; trained trials stay as they are.

    Returns:
        The sweep: `trials.parquet`, `report.md`, `trials.png`. Its inputs name every trial's
        model, also of one that diverged, which is not there.

    Raises:
        ConfigError: Settings that do not fit the graph, no select instances, or every trial
            diverged.
        RRNetError: What else `train` raises, of the first trial that fails.
    """
    source = store.resolve("graph", graph)
    features = store.resolve("features", str(source.manifest.inputs["features"]))
    _require_select(features)
    keys = _model_keys(trials, store, source, features)
    presets = dict.fromkeys(trial.settings.preset for trial in trials)
    key = Key(
        kind="sweep",
        name=name or f"{source.ref.name}-{'-'.join(presets)}-sweep",
        params=settings.recorded(),
        inputs={
            "graph": source.ref,
            "features": features.ref,
            **{f"trial{number}": each.ref for number, each in enumerate(keys, 1)},
        },
    )

    def build(draft: Draft) -> None:
        _train_missing(trials, keys, source, store, jobs, reporter)
        rows = _rows(settings, trials, keys, store)
        _write(draft, settings, trials, rows, source, features)

    return store.materialise(key, build, force=force)


def varied(settings: SweepSettings) -> list[str]:
    """The keys that trials differ in, without the seed."""
    return [key for key in (*settings.grid, *settings.ranges) if key != SEED]


def _model_keys(
    trials: Sequence[Trial], store: Store, graph: Artifact, features: Artifact
) -> list[Key]:
    """The key of each trial's model, under the name that it is there by already, if it is."""
    there = store.refs("model")
    names = {ref.version: ref.name for ref in there}
    keys = []
    for trial in trials:
        name = f"{graph.ref.name}-{trial.settings.preset}-sweep"
        key = model_key(trial.settings, graph, features, name)
        own = key.ref in there
        keys.append(key if own else replace(key, name=names.get(key.version, name)))
    return keys


def _train_missing(
    trials: Sequence[Trial],
    keys: Sequence[Key],
    graph: Artifact,
    store: Store,
    jobs: int,
    reporter: Reporter,
) -> None:
    """Train what is not in the store.

    Raises:
        ConfigError: Every trial diverged.
    """
    missing = [
        Job(trial.settings, str(graph.ref), key.name)
        for trial, key in zip(trials, keys, strict=True)
        if store.find(key) is None
    ]
    num_found = len(trials) - len(missing)
    if num_found:
        reporter.note(f"{num_found} of {len(trials)} trials are trained already")
    problems: list[str] = []
    with reporter.task("sweep", len(trials), unit="trial", done=num_found) as task:

        def done(job: Job, problem: str | None) -> None:
            if problem is not None:
                problems.append(problem)
                reporter.note(f"diverged: {problem}")
            task.advance()

        train_all(missing, store=store, processes=jobs, reporter=reporter, done=done)
    if len(problems) == len(trials):
        raise ConfigError(f"every trial diverged; the last: {problems[-1]}", "lower lr")


def _rows(
    settings: SweepSettings, trials: Sequence[Trial], keys: Sequence[Key], store: Store
) -> list[dict[str, Any]]:
    """One mapping a trial, with the same columns in all."""
    figures = [_figures(model) if (model := store.find(key)) else None for key in keys]
    absent = {
        name: -1 if isinstance(value, int) else float("nan")
        for name, value in next(filter(None, figures)).items()
    }
    numbers: dict[TrainSettings, int] = {}
    rows = []
    for number, (trial, key, reached) in enumerate(zip(trials, keys, figures, strict=True), 1):
        seedless = trial.settings.model_copy(update={SEED: 0})
        rows.append(
            {
                "trial": number,
                "setting": numbers.setdefault(seedless, len(numbers) + 1),
                **{name: _plain(getattr(trial.settings, name)) for name in varied(settings)},
                "seed": trial.settings.seed,
                **(reached or absent),
                "status": DONE if reached else DIVERGED,
                "model": str(key.ref) if reached else "",
            }
        )
    return rows


def _figures(model: Artifact) -> dict[str, Any]:
    """What a trained trial reached, and what it took (of a resumed one: its last run)."""
    summary: Any = model.manifest.summary
    return {
        **{name: float(value) for name, value in summary["best"].items() if name != "loss"},
        "best_epoch": int(summary["best_epoch"]),
        "epochs_run": int(summary["epochs"]),
        "wall_seconds": float(model.manifest.wall_seconds),
    }


def _write(
    draft: Draft,
    settings: SweepSettings,
    trials: Sequence[Trial],
    rows: Sequence[Mapping[str, Any]],
    graph: Artifact,
    features: Artifact,
) -> None:
    """Table, page, plot and summary into the artifact."""
    keys = varied(settings)
    best = rank(rows, keys)[0]
    chosen = [row["setting"] == best.number for row in rows]
    winners = [trial for trial, mine in zip(trials, chosen, strict=True) if mine]
    commands = [
        " ".join(["rrnet train", str(graph.ref), *each.options, f"--seed {each.settings.seed}"])
        for each in winners
    ]
    metric = metrics_of(rows)[0]
    title = f"Sweep of {graph.ref.name}"
    draft.write_table(TRIALS, pa.table({name: _column(rows, name) for name in rows[0]}))
    draft.path(REPORT).write_text(sweep_markdown(rows, keys, commands, title), encoding="utf-8")
    sweep_plots.trials(
        draft.path(PLOT),
        [_panel(settings, rows, key) for key in keys or [SEED]],
        (metric, [row[metric] for row in rows]),
        chosen,
        f"{title}: {len(rows)} trials, chosen on select",
    )
    summary: Any = features.manifest.summary
    draft.summary.update(
        {
            "task": summary["task"],
            "recipe": summary.get("recipe"),
            "backbone": summary.get("backbone"),
            "trials": len(rows),
            "diverged": sum(row["status"] == DIVERGED for row in rows),
            "metric": metric,
            "chosen": dict(best.values),
            "best": dict(best.mean),
            "seeds": list(best.seeds),
            "commands": commands,
        }
    )


def _panel(settings: SweepSettings, rows: Sequence[Mapping[str, Any]], key: str) -> Panel:
    """One panel of the plot: numbers, or names where a value is none."""
    values = [row[key] for row in rows]
    if not all(_is_number(value) for value in values):
        return Panel(key, [format_value(value) for value in values])
    if key in settings.ranges:
        return Panel(key, values, log=settings.ranges[key].log, listed=False)
    wide = min(values) > 0 and max(values) >= _LOG_SPAN * min(values)
    return Panel(key, values, log=wide)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> pa.Array:
    """A column without nulls: NaN for a number that is not set, else the text ``null``."""
    values = [row[name] for row in rows]
    if all(isinstance(value, bool) for value in values):
        return pa.array(values, pa.bool_())
    if all(_is_number(value) and not isinstance(value, float) for value in values):
        return pa.array(values, pa.int64())
    if any(map(_is_number, values)) and all(value is None or _is_number(value) for value in values):
        numbers = [float("nan") if value is None else float(value) for value in values]
        return pa.array(numbers, pa.float64())
    return pa.array([format_value(value) for value in values], pa.string())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: object) -> Any:
    return as_text(value) if isinstance(value, tuple) else value


def _require_select(features: Artifact) -> None:
    """Refuse what there is nothing to choose on.

    Raises:
        ConfigError: No instance has the role `select`.
    """
    summary: Any = features.manifest.summary
    roles = summary["ratings" if summary["task"] == "rating" else "instances"]
    if not roles["select"]:
        raise ConfigError(
            "there are no select instances to choose a setting on", "extract with some"
        )
