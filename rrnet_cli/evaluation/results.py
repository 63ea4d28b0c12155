"""Kept results: JSON files of rows, one file a run, and the Markdown table made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rrnet_cli.errors import InputError, ResourceError
from rrnet_cli.evaluation.comparison import METRICS
from rrnet_cli.evaluation.report import (
    PRINCIPAL,
    format_difference,
    format_figure,
    format_p,
    markdown_table,
)

BENCHMARKS = "benchmarks"
"""The `kind` of a JSON object that `make bench` keeps beside the rows; it holds none."""
PAGE = "reproduction"
"""The `kind` of the rows of a table of the paper (`kept_pages`): none of these either."""

Number = Annotated[float, Field(allow_inf_nan=False)]

HEADER = (
    "data",
    "backbone",
    "preset",
    "metric",
    "baseline",
    "RR-Net",
    "difference",
    "p",
    "n",
    "runs",
    "paper",
    "commit",
    "date",
    "command",
)
_NUMERIC = frozenset({"baseline", "RR-Net", "p", "n", "paper"})


class ResultRow(BaseModel):
    """One figure with its provenance; None where unknown.

    Attributes:
        data: Name of the data set.
        backbone: Of the baseline.
        preset: Of RR-Net.
        metric: `top1` (in percent), `mae` or `rmse`.
        baseline, rrnet: The figures on the same test instances.
        difference: RR-Net minus baseline, between `ci_low` and `ci_high`.
        p: Two-sided, of a paired test.
        n: Distinct test instances.
        folds_or_seeds: Which runs these are figures of.
        paper: The paper's own figure for RR-Net on its own data and baseline.
        command: The command line that made it.
        commit: Of the code.
        date: UTC day, ISO 8601.
        baseline_std, rrnet_std: Sample standard deviation over runs.
        models: The artifacts that were judged.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    data: str | None = None
    backbone: str | None = None
    preset: str | None = None
    metric: str
    baseline: Number | None = None
    rrnet: Number | None = None
    difference: Number | None = None
    ci_low: Number | None = None
    ci_high: Number | None = None
    p: Annotated[float, Field(ge=0, le=1)] | None = None
    n: Annotated[int, Field(gt=0)] | None = None
    folds_or_seeds: str | int | None = None
    paper: Number | None = None
    command: str | None = None
    commit: str | None = None
    date: str | None = None
    baseline_std: Number | None = None
    rrnet_std: Number | None = None
    models: list[str] | None = None


def result_rows(
    report: dict[str, Any],
    *,
    paper: dict[str, float],
    command: str | None,
    commit: str | None,
    date: str | None,
) -> list[ResultRow]:
    """The rows to keep of one evaluation: top-1, or MAE and RMSE.

    Args:
        report: Content of `metrics.json`.
        paper: The recipe's figures, `METRIC.BACKBONE` or `METRIC`.
        command: The command line that made it.
        commit: Of the code.
        date: UTC day.
    """
    return [
        ResultRow(
            data=report["data"],
            backbone=report["backbone"],
            preset=report["preset"],
            folds_or_seeds=report["folds_or_seeds"],
            paper=paper.get(f"{row['metric']}.{report['backbone']}", paper.get(row["metric"])),
            command=command,
            commit=commit,
            date=date,
            models=[
                model for run in report["runs"] for model in run.get("averaged", [run["model"]])
            ],
            **{
                key: row[key]
                for key in (
                    *("metric", "baseline", "rrnet", "difference", "ci_low", "ci_high"),
                    *("p", "n", "baseline_std", "rrnet_std"),
                )
            },
        )
        for row in report["overall"]["metrics"]
        if row["metric"] in PRINCIPAL
    ]


def write_results(path: Path, rows: Sequence[ResultRow]) -> None:
    """Write one JSON file, whole or not at all.

    Raises:
        ResourceError: It cannot be written.
    """
    content = json.dumps([row.model_dump() for row in rows], indent=2, ensure_ascii=False)
    write_text(path, content + "\n")


def read_results(folder: Path) -> list[ResultRow]:
    """Rows of all JSON files of a folder, by data, metric, backbone, preset and date.

    Objects of the kinds `BENCHMARKS` and `PAGE` are passed over.

    Raises:
        InputError: No folder, no JSON file of rows in it, or one that is no list of them (named).
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", "give the folder of the kept JSON files")
    found = [_read_file(file) for file in sorted(folder.glob("*.json"))]
    kept = [rows for rows in found if rows is not None]
    if not kept:
        raise InputError(
            f"there is no JSON file of results in {folder}",
            "make one with `rrnet eval --save-results FILE`",
        )
    rows = [row for rows in kept for row in rows]
    order = [*METRICS]
    return sorted(
        rows,
        key=lambda row: (
            row.data or "",
            order.index(row.metric),
            row.backbone or "",
            row.preset or "",
            row.date or "",
        ),
    )


def results_markdown(rows: Sequence[ResultRow]) -> str:
    """One Markdown table; the paper's figures have a column of their own."""
    return markdown_table(HEADER, [_cells(row) for row in rows], _NUMERIC)


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new content, never a part.

    Raises:
        ResourceError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ResourceError(
            f"cannot write {path}: {error.strerror}", "choose another place for the file"
        ) from error


def _read_file(file: Path) -> list[ResultRow] | None:
    """The rows of a file; None if it says that it holds others."""
    hint = "it must be a list of rows as `rrnet eval --save-results` writes it"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResourceError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{file} is no JSON: {error}", hint) from error
    if isinstance(content, dict) and content.get("kind") in (BENCHMARKS, PAGE):
        return None
    if not isinstance(content, list):
        raise InputError(f"{file} holds no list of rows", hint)
    rows = []
    for index, item in enumerate(content):
        try:
            row = ResultRow.model_validate(item)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "row"
            raise InputError(f"{file}, row {index}: {where}: {first['msg']}", hint) from error
        if row.metric not in METRICS:
            raise InputError(
                f"{file}, row {index}: unknown metric {row.metric!r}",
                f"known: {', '.join(METRICS)}",
            )
        rows.append(row)
    return rows


def _cells(row: ResultRow) -> list[str]:
    def figure(value: float | None, std: float | None = None) -> str:
        return "—" if value is None else format_figure(row.metric, value, std)

    tested = None not in (row.difference, row.ci_low, row.ci_high)
    return [
        row.data or "—",
        row.backbone or "—",
        row.preset or "—",
        METRICS[row.metric].label,
        figure(row.baseline, row.baseline_std),
        figure(row.rrnet, row.rrnet_std),
        format_difference(row.model_dump()) if tested else "—",
        "—" if row.p is None else format_p(row.p),
        "—" if row.n is None else f"{row.n:,}",
        "—" if row.folds_or_seeds is None else str(row.folds_or_seeds),
        figure(row.paper),
        row.commit or "—",
        row.date or "—",
        f"`{row.command}`" if row.command else "—",
    ]
