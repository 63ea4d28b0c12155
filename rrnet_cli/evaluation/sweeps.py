"""Rank the settings of a sweep by their metrics on SELECT, and write them down.

All functions take the rows of `trials.parquet`, so a fresh and a cached sweep read alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from rrnet_cli.evaluation.report import markdown_table, text_table
from rrnet_cli.training.selection import merit

DONE, DIVERGED = "done", "diverged"
"""The status of a trial."""

Row = Mapping[str, Any]
_Table = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class Setting:
    """One setting over all its seeds.

    Attributes:
        values: What was varied.
        seeds: Of its trials that did not diverge.
        mean: Of each select metric over these seeds; empty where all diverged.
        std: Sample deviation; NaN of one seed.
        diverged: How many of its trials did.
        number: The same for all its trials, in their column `setting`.
    """

    values: Mapping[str, Any]
    seeds: tuple[int, ...]
    mean: Mapping[str, float]
    std: Mapping[str, float]
    diverged: int
    number: int


def metrics_of(rows: Sequence[Row]) -> list[str]:
    """The select metrics, the deciding one first."""
    names = [name for name in rows[0] if name.startswith("select_")]
    return sorted(names, key=("select_top1", "select_rmse", "select_nll", "select_mae").index)


def rank(rows: Sequence[Row], keys: Sequence[str]) -> list[Setting]:
    """Group trials by setting, the best first.

    A setting with a trial that diverged comes after all others: its mean is not over the same
    seeds. Of equal ones the first tried comes first.

    Args:
        rows: At least one.
        keys: What was varied, without the seed.
    """
    settings = [
        _setting([row for row in rows if row["setting"] == number], keys)
        for number in dict.fromkeys(row["setting"] for row in rows)
    ]
    return sorted(settings, key=lambda each: _worth(each.mean, each.diverged), reverse=True)


def settings_table(rows: Sequence[Row], keys: Sequence[str]) -> _Table:
    """Header and cells: one line a setting, mean ± sample deviation over its seeds."""
    metrics = metrics_of(rows)
    cells = [
        [
            *(format_value(setting.values[key]) for key in keys),
            *(_spread(setting, name) for name in metrics),
            f"{len(setting.seeds)}" + (f", {setting.diverged} diverged" * bool(setting.diverged)),
        ]
        for setting in rank(rows, keys)
    ]
    return [*keys, *metrics, "seeds"], cells


def trials_table(rows: Sequence[Row], keys: Sequence[str]) -> _Table:
    """Header and cells: one line a trial, the best first."""
    metrics = metrics_of(rows)
    named = [*keys, "seed"] if _num_seeds(rows) > 1 or not keys else list(keys)
    ordered = sorted(
        rows,
        key=lambda row: _worth({name: row[name] for name in metrics}, row["status"] != DONE),
        reverse=True,
    )
    cells = [
        [
            *(format_value(row[key]) for key in named),
            *(f"{row[name]:.4f}" if row["status"] == DONE else "—" for name in metrics),
            *(
                [str(row["best_epoch"]), str(row["epochs_run"]), f"{row['wall_seconds']:.1f}"]
                if row["status"] == DONE
                else ["—"] * 3
            ),
            row["model"] if row["status"] == DONE else row["status"],
        ]
        for row in ordered
    ]
    return [*named, *metrics, "best epoch", "epochs", "seconds", "model"], cells


def sweep_text(rows: Sequence[Row], keys: Sequence[str], commands: Sequence[str]) -> str:
    """The whole of one sweep for the terminal."""
    tables = [trials_table(rows, keys)]
    if _num_seeds(rows) > 1 and keys:
        tables.insert(0, settings_table(rows, keys))
    parts = [text_table(*table) for table in tables]
    return "\n\n".join([*parts, "\n".join(["to train the chosen setting:", *commands])])


def sweep_markdown(
    rows: Sequence[Row], keys: Sequence[str], commands: Sequence[str], title: str
) -> str:
    """The same as a page: `report.md`."""
    parts = [
        f"# {title}",
        f"{len(rows)} trials, the best first by {metrics_of(rows)[0]}. They are chosen on the "
        "select split, so these figures are optimistic; no test label was read.",
    ]
    if _num_seeds(rows) > 1 and keys:
        parts.append("Mean ± sample deviation over seeds:")
        parts.append(_markdown(settings_table(rows, keys)))
        parts.append("Every trial:")
    parts.append(_markdown(trials_table(rows, keys)))
    parts.append("The chosen setting, under the name of its own that `rrnet train` gives it:")
    parts.append("\n".join(["```bash", *commands, "```"]))
    return "\n\n".join(parts) + "\n"


def format_value(value: Any) -> str:
    """A value of a setting as people write it; NaN stands for none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _setting(rows: Sequence[Row], keys: Sequence[str]) -> Setting:
    done = [row for row in rows if row["status"] == DONE]
    columns = {name: [row[name] for row in done] for name in metrics_of(rows) if done}
    return Setting(
        values={key: rows[0][key] for key in keys},
        seeds=tuple(row["seed"] for row in done),
        mean={name: fmean(column) for name, column in columns.items()},
        std={
            name: stdev(column) if len(column) > 1 else math.nan for name, column in columns.items()
        },
        diverged=len(rows) - len(done),
        number=rows[0]["setting"],
    )


def _worth(metrics: Mapping[str, float], diverged: int) -> tuple[Any, ...]:
    """Larger is better: none diverged, then the rule by which a run's epoch is chosen."""
    known = bool(metrics) and not any(map(math.isnan, metrics.values()))
    return (not diverged, known, merit(metrics) if known else ())


def _spread(setting: Setting, name: str) -> str:
    if not setting.mean:
        return "—"
    deviation = setting.std[name]
    return f"{setting.mean[name]:.4f}" + ("" if math.isnan(deviation) else f" ± {deviation:.4f}")


def _num_seeds(rows: Sequence[Row]) -> int:
    return len({row["seed"] for row in rows})


def _markdown(table: _Table) -> str:
    header, cells = table
    return markdown_table(header, cells, frozenset(header) - {"model"})
