"""A reproduced table or figure as Markdown for people, and as CSV with one line a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rrnet_cli.evaluation.comparison import METRICS
from rrnet_cli.evaluation.oracle import OracleBound
from rrnet_cli.evaluation.published import Published
from rrnet_cli.evaluation.report import format_difference, format_figure, markdown_table
from rrnet_cli.evaluation.reproduction import NO_UNITS, NOT_RUN, PUBLISHED, Figure, ResultLine
from rrnet_cli.evaluation.training_curves import TrainingCurves, training_text

NOTHING = "—"
_METHOD_COLUMNS = ("data", "method", "metric", "paper", "ours", "ours − baseline", "runs", "commit")
FAST_WARNING = "**Budget fast: few instances and epochs. These figures mean nothing.**"
CSV_COLUMNS = (
    *("target", "budget", "data", "backbone", "setting", "setting_value", "metric", "method"),
    *("source", "value", "mean", "std", "standard_error", "n", "num_runs", "runs"),
    *("difference", "ci_low", "ci_high", "p", "commit"),
)


@dataclass(frozen=True)
class Section:
    """One table of a page."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[str] = frozenset()
    title: str | None = None


@dataclass(frozen=True)
class Reproduction:
    """Everything that is written of a target.

    Attributes:
        target: As it is asked for: `table1`.
        title: Heading of the page.
        sections: Its tables.
        records: The same figures one by one, columns `CSV_COLUMNS`.
        rows: What is kept for a later run (`kept_pages`).
        panels: What is drawn, as `sweep_plots.swept` takes it; none for tables.
        training: How the networks of a table were trained, drawn in the place of panels.
        notes: Below the tables.
        sources: The evaluations or features behind the figures, beside those of `rows`.
        fast: Whether the figures mean nothing.
        commit: Of the code that wrote the page.
    """

    target: str
    title: str
    sections: Sequence[Section]
    records: Sequence[Mapping[str, Any]]
    rows: Sequence[ResultLine] = ()
    panels: Sequence[Mapping[str, Any]] = ()
    training: Sequence[TrainingCurves] = ()
    notes: Sequence[str] = ()
    sources: Sequence[str] = ()
    fast: bool = False
    commit: str = ""

    def markdown(self) -> str:
        """The page."""
        parts = [f"# {self.title}", *([FAST_WARNING] if self.fast else [])]
        for section in self.sections:
            parts += [f"## {section.title}"] if section.title else []
            parts.append(markdown_table(section.header, section.rows, section.numeric))
        if self.panels:
            parts.append(f"![{self.title}]({self.target}.png)")
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        if self.training:
            parts += ["## Training", f"![Training of the networks]({self.target}.png)"]
            parts.append(training_text(self.training))
        parts.append(f"Written by `rrnet reproduce {self.target}` of {self.commit}.")
        sources = dict.fromkeys(
            [*(name for row in self.rows for name in row.sources), *self.sources]
        )
        if sources:
            parts.append("Made of: " + ", ".join(f"`{source}`" for source in sources) + ".")
        return "\n\n".join(parts) + "\n"

    def csv(self) -> str:
        """One line a figure; empty where there is none."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n")
        writer.writeheader()
        budget = "fast" if self.fast else "full"
        common = {"target": self.target, "budget": budget, "commit": self.commit}
        writer.writerows({**common, **record} for record in self.records)
        return stream.getvalue()


def comparison_section(lines: Sequence[ResultLine], *, peers: bool = True) -> Section:
    """The paper's figures beside ours: one row a data set, baseline and metric.

    Args:
        lines: In their order.
        peers: Whether there are columns for the control without units and for the best peer.
    """
    swept = any(line.setting for line in lines)
    metrics = {line.metric for line in lines} != {"top1"}
    bounds = any(line.bound for line in lines)
    columns: dict[str, list[str]] = {
        "data": [line.data for line in lines],
        "backbone": [line.backbone for line in lines],
    }
    if swept:
        columns["setting"] = [_setting(line) for line in lines]
    if metrics:
        columns["metric"] = [METRICS[line.metric].label for line in lines]
    if not swept:
        columns["paper: baseline"] = [_published(line, line.paper_baseline) for line in lines]
    columns |= {
        "paper: RR-Net": [_published(line, line.paper) for line in lines],
        "ours: baseline": [_measured(line, "baseline") for line in lines],
        "ours: paper preset": [_measured(line, "paper") for line in lines],
        "ours: plus": [_measured(line, "plus") for line in lines],
        "plus − baseline": [_difference(line, "plus") for line in lines],
    }
    if peers:
        columns["ours: plus, no units"] = [_measured(line, NO_UNITS) for line in lines]
        columns["best peer"] = [_best_peer(line) for line in lines]
    if bounds:
        columns["oracle bound"] = [_bound(line.bound) for line in lines]
    columns |= {
        "runs": [line.runs for line in lines],
        "commit": [line.commit or NOTHING for line in lines],
    }
    return _section(columns)


def methods_section(lines: Sequence[ResultLine], names: Mapping[str, str], title: str) -> Section:
    """Every method in a row of its own.

    Args:
        lines: One for each data set, method and metric.
        names: Method to the name in the paper.
        title: Above the table.
    """
    columns: dict[str, list[str]] = {name: [] for name in _METHOD_COLUMNS}
    for line in lines:
        method = str(line.method)
        row = (
            line.data,
            names.get(method, method),
            METRICS[line.metric].label,
            _published(line, line.paper),
            _measured(line, method),
            _difference(line, method),
            line.runs,
            line.commit or NOTHING,
        )
        for name, cell in zip(columns, row, strict=True):
            columns[name].append(cell)
    return _section(columns, title)


def line_records(lines: Sequence[ResultLine]) -> list[dict[str, Any]]:
    """Figures one by one: the paper's, then ours."""
    records = []
    for line in lines:
        name, value = line.setting or (None, None)
        common = {
            "data": line.data,
            "backbone": line.backbone,
            "setting": name,
            "setting_value": value,
            "metric": line.metric,
            "runs": line.runs,
        }
        for method, printed in (
            ("baseline", line.paper_baseline),
            (line.method or "rrnet", line.paper),
        ):
            if printed is not None:
                figure = {"value": printed.value, "std": printed.std}
                records.append({**common, "method": method, "source": "paper", **figure})
        for method, figure_of in line.ours.items():
            made = {"source": "ours", "commit": line.commit}
            records.append({**common, "method": method, **made, **_numbers(line, figure_of)})
        if not line.ours and line.runs == NOT_RUN:
            records.append({**common, "source": "ours"})
    return records


def statistics_section(
    printed: Mapping[str, Mapping[str, int]],
    counts: Mapping[str, Mapping[str, int] | None],
    commit: str,
) -> tuple[Section, list[dict[str, Any]]]:
    """Counts of data sets, the paper's beside ours, as a table and one by one.

    Args:
        printed: By data set, the paper's.
        counts: By data set, ours; None where the data were not read.
        commit: Of the code.
    """
    columns: dict[str, list[str]] = {"data": list(counts)}
    records: list[dict[str, Any]] = []
    for name in next(iter(printed.values())):
        columns[f"{name}: paper"] = [f"{printed[data][name]:,}" for data in counts]
        columns[f"{name}: ours"] = [
            NOT_RUN if ours is None else f"{ours[name]:,}" for ours in counts.values()
        ]
        for data, ours in counts.items():
            record = {"data": data, "metric": name}
            records.append({**record, "source": "paper", "value": printed[data][name]})
            if ours is not None:
                records.append({**record, "source": "ours", "value": ours[name]})
    columns["commit"] = [commit] * len(counts)
    return _section(columns), records


def _numbers(line: ResultLine, figure: Figure) -> dict[str, Any]:
    return {
        "value": figure.value,
        "mean": figure.mean,
        "std": figure.std,
        "standard_error": figure.standard_error if line.metric == "top1" else None,
        "n": figure.n,
        "num_runs": figure.runs,
        "difference": figure.difference,
        "ci_low": figure.ci_low,
        "ci_high": figure.ci_high,
        "p": figure.p,
    }


def _section(columns: Mapping[str, Sequence[str]], title: str | None = None) -> Section:
    left = {"data", "backbone", "method", "setting", "metric", "best peer", "oracle bound", "runs"}
    return Section(
        list(columns),
        list(zip(*columns.values(), strict=True)),
        frozenset(columns) - left - {"commit"},
        title,
    )


def _setting(line: ResultLine) -> str:
    return NOTHING if line.setting is None else f"{line.setting[0]} = {line.setting[1]}"


def _published(line: ResultLine, printed: Published | None) -> str:
    if printed is None:
        return NOTHING
    digits = {"top1": 2, "mae": 3, "rmse": 3}[line.metric]
    if line.metric == "top1" and printed.std is not None:
        digits = 1  # as Table I prints them
    spread = "" if printed.std is None else f" ± {printed.std:.{digits}f}"
    return f"{printed.value:.{digits}f}{spread}"


def _measured(line: ResultLine, method: str) -> str:
    figure = line.ours.get(method)
    if figure is None:
        return NOTHING if line.runs == PUBLISHED else NOT_RUN
    if line.metric != "top1":
        return format_figure(line.metric, figure.value, figure.std)
    if figure.std is None:
        return f"{figure.value:.2f} (s.e. {figure.standard_error:.2f})"
    spread = format_figure(line.metric, figure.mean, figure.std)
    return f"{spread}; pooled {figure.value:.2f} (s.e. {figure.standard_error:.2f})"


def _difference(line: ResultLine, method: str) -> str:
    figure = line.ours.get(method)
    if figure is None or figure.difference is None:
        return NOTHING
    row = {name: getattr(figure, name) for name in ("difference", "ci_low", "ci_high")}
    return format_difference({"metric": line.metric, **row})


def _best_peer(line: ResultLine) -> str:
    if line.best_peer is None:
        return NOTHING if line.runs == PUBLISHED else NOT_RUN
    return f"{line.best_peer}: {_measured(line, line.best_peer)}"


def _bound(bound: OracleBound | None) -> str:
    if bound is None:
        return NOTHING
    if not bound.errors:
        return "no errors"
    candidate, right = (
        f"{100 * count / bound.errors:.1f} %"
        for count in (bound.among_candidates, bound.neighbours_right)
    )
    return f"of {bound.errors:,} errors: {candidate} a candidate, {right} neighbours right"
