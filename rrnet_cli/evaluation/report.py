"""What people read of an evaluation: baseline | RR-Net | difference, never one without the others.

All functions take the plain values of `metrics.json`: a fresh and a cached evaluation read alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rrnet_cli.evaluation.comparison import METRICS

PRINCIPAL = ("top1", "mae", "rmse")
"""Metrics shown for every fold or seed; the others only over all."""

NO_DIFFERENCE = "no difference shown"
HEADER = ("metric", "baseline", "RR-Net", "difference", "p", "n")


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned by blanks: the first to the left, the others to the right."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], numeric: frozenset[str] = frozenset()
) -> str:
    """A Markdown table: `|` and line breaks are escaped, `numeric` columns stand to the right."""
    rule = ["---:" if name in numeric else "---" for name in header]
    cells = [header, rule, *([_escape(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def format_figure(metric: str, value: float, std: float | None = None) -> str:
    """A figure with the metric's digits, and its standard deviation where there is one."""
    digits = METRICS[metric].digits
    return f"{value:.{digits}f}" + (f" ± {std:.{digits}f}" if std is not None else "")


def format_difference(row: Mapping[str, Any]) -> str:
    """Sign, interval and verdict: ``+0.75 [-0.50, +2.00] no difference shown``.

    The sign is that of RR-Net minus baseline whatever is better; the verdict is in words.
    """
    digits = METRICS[row["metric"]].digits
    bounds = f"[{row['ci_low']:+.{digits}f}, {row['ci_high']:+.{digits}f}]"
    return f"{row['difference']:+.{digits}f} {bounds} {verdict(row)}"


def verdict(row: Mapping[str, Any]) -> str:
    """``better``, ``worse``, or ``no difference shown`` where the interval covers 0."""
    if row["ci_low"] <= 0.0 <= row["ci_high"]:
        return NO_DIFFERENCE
    gained = (row["difference"] > 0.0) == METRICS[row["metric"]].higher_is_better
    return "better" if gained else "worse"


def format_p(p: float) -> str:
    """Three digits, or a bound."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def evaluation_text(report: Mapping[str, Any]) -> str:
    """The whole of one evaluation for the terminal: table and notes.

    Args:
        report: Content of `metrics.json`.
    """
    overall, runs = report["overall"], report["runs"]
    level = round(100 * report["settings"]["confidence"])
    header = [f"{name} [{level} % CI]" if name == "difference" else name for name in HEADER]
    rows: list[list[str]] = []
    for row in overall["metrics"]:
        label = METRICS[row["metric"]].label
        if overall["estimate"] == "single":
            rows.append(_cells(label, row))
            continue
        if row["metric"] in PRINCIPAL:
            rows += [_cells(f"{label}, {run['label']}", _find(run, row)) for run in runs]
        if overall["estimate"] == "pooled":
            rows += [_spread(f"{label}, mean ± std", row, runs), _cells(f"{label}, pooled", row)]
        else:
            rows.append(_cells(f"{label}, mean ± std", row, with_std=True))
    return "\n".join([_title(report), text_table(header, rows), *_notes(report)])


def comparison_table(evaluations: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Evaluations one under the other, metric by metric.

    Args:
        evaluations: As `stages.compare.compare` gives them: `name`, `estimate`, `metrics`, and
            `against_first`, the paired difference of RR-Net from the first one's, by metric.

    Returns:
        Header and rows.
    """
    header = [*HEADER[:1], "evaluation", *HEADER[1:], "RR-Net against the first"]
    rows = []
    for metric in METRICS:
        for evaluation in evaluations:
            for row in evaluation["metrics"]:
                if row["metric"] == metric:
                    against = evaluation["against_first"].get(metric)
                    rows.append(
                        [
                            METRICS[metric].label,
                            evaluation["name"],
                            *_cells("", row, with_std=evaluation["estimate"] == "mean")[1:],
                            format_difference(against) if against else "-",
                        ]
                    )
    return header, rows


def _cells(label: str, row: Mapping[str, Any], with_std: bool = False) -> list[str]:
    return [
        label,
        format_figure(row["metric"], row["baseline"], row["baseline_std"] if with_std else None),
        format_figure(row["metric"], row["rrnet"], row["rrnet_std"] if with_std else None),
        format_difference(row),
        format_p(row["p"]),
        f"{row['n']:,}",
    ]


def _spread(label: str, row: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Mean and sample standard deviation over runs, without a test: the pooled row has it."""
    figures = [_find(run, row) for run in runs]
    mean = {
        key: sum(figure[key] for figure in figures) / len(figures)
        for key in ("baseline", "rrnet", "difference")
    }
    digits = METRICS[row["metric"]].digits
    return [
        label,
        format_figure(row["metric"], mean["baseline"], row["baseline_std"]),
        format_figure(row["metric"], mean["rrnet"], row["rrnet_std"]),
        f"{mean['difference']:+.{digits}f} ± {row['difference_std']:.{digits}f}",
        "",
        f"{len(runs)} runs",
    ]


def _find(run: Mapping[str, Any], row: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(found for found in run["metrics"] if found["metric"] == row["metric"])


def _title(report: Mapping[str, Any]) -> str:
    runs = f", {len(report['runs'])} runs" if len(report["runs"]) > 1 else ""
    return (
        f"{report['data']}, {report['backbone']}, preset {report['preset']}, "
        f"split {report['split']}{runs}"
    )


def _notes(report: Mapping[str, Any]) -> list[str]:
    notes = []
    overall = report["overall"]
    detail = overall["detail"]
    if report["task"] == "classification":
        num = overall["metrics"][0]["n"]
        notes.append(
            f"true class among the candidates: {100 * detail['candidate_recall']:.2f} %; "
            f"one of {num:,} instances is {100 / num:.2g} points of accuracy"
        )
        if detail["rrnet_ties"]:
            notes.append(
                f"RR-Net's best score is shared by several classes {detail['rrnet_ties']}x"
            )
    averaged = report["runs"][0].get("averaged", ())
    if averaged:
        notes.append(f"RR-Net's figures are of the average of {len(averaged)} models, not of one")
    if overall["estimate"] == "mean":
        notes.append("test instances recur over the runs: intervals resample distinct instances")
    if report["split"] == "select":
        notes.append("the model was chosen on this split: its figures are optimistic")
    return notes


def _escape(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
