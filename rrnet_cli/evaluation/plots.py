"""The plots of an evaluation, drawn by matplotlib's objects on Agg: no global state, no display.

Every function takes the plain values that stand in `metrics.json`, so each plot can be drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIDES = (("baseline", "baseline", "#7f7f7f"), ("rrnet", "RR-Net", "#1f77b4"))
"""Key in `metrics.json`, name and colour."""

_MOST_NAMED_CLASSES = 50
_MOST_NUMBERED_CLASSES = 15
"""With more classes names, or counts in the cells, would not be legible."""


def confusion(
    path: Path, matrices: Mapping[str, Sequence[Sequence[int]]], classes: Sequence[str], title: str
) -> None:
    """Confusion matrices, baseline beside RR-Net, as shares of each true class.

    Args:
        path: PNG to write.
        matrices: `baseline` and `rrnet`, (C, C) counts, row = true class.
        classes: Names of the C classes.
        title: Over both.
    """
    num = len(classes)
    named = num <= _MOST_NAMED_CLASSES
    side = min(max(3.5, 0.42 * num), 9.0) if named else 6.0
    labels = 0.09 * max(map(len, classes)) if named else 0.0
    figure = new_figure(2 * side + labels + 1.8, side + labels + 1.3, title)
    axes = figure.subplots(1, 2, sharey=True)
    image = None
    for axis, (key, name, _) in zip(axes, SIDES, strict=True):
        counts = np.asarray(matrices[key])
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = axis.imshow(share, vmin=0.0, vmax=1.0, cmap="Blues")
        axis.set_title(f"{name}: {100 * np.trace(counts) / counts.sum():.2f} % right")
        axis.set_xlabel("predicted class")
        if named:
            _name_classes(axis, classes)
        if num <= _MOST_NUMBERED_CLASSES:
            _number_cells(axis, counts, share)
    axes[0].set_ylabel("true class")
    figure.colorbar(image, ax=list(axes), label="share of the true class", shrink=0.8)
    save(figure, path)


def curves(
    path: Path, histories: Sequence[tuple[str, Mapping[str, Sequence[float | None]]]], title: str
) -> None:
    """Training curves: one panel a column of the history, one line a run.

    Args:
        path: PNG to write.
        histories: Label of each run and its columns, `epoch` among them; None or NaN are gaps.
        title: Over all.
    """
    names = [name for name in histories[0][1] if name != "epoch"]
    figure = new_figure(1.0 + 4.2 * len(names), 3.8, title)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(panels, names, strict=True):
        for label, columns in histories:
            values = np.array(columns.get(name, []), dtype=np.float64)
            axis.plot(
                columns["epoch"][: len(values)],
                values,
                label=label,
                linewidth=1.2,
                marker="." if len(values) < 3 else "",
            )
        axis.set_xlabel("epoch")
        axis.locator_params(axis="x", integer=True)  # there is no epoch 2.5
        axis.set_ylabel(axis_name(name))
        axis.set_title(axis_name(name))
        axis.grid(alpha=0.3)
    if 1 < len(histories) <= 12:
        panels[-1].legend(fontsize="small")
    save(figure, path)


def reliability(path: Path, tables: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Reliability diagram: accuracy against confidence, and how often each confidence came up.

    Args:
        path: PNG to write.
        tables: `baseline` and `rrnet`, each `count`, `confidence` and `accuracy` by bin.
        title: Over all.
    """
    _calibration(
        path, tables, title, ("confidence", "accuracy"), ("confidence", "accuracy"), (0.0, 1.0)
    )


def rating_reliability(path: Path, tables: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """The same for ratings: mean true rating against mean predicted rating by bin.

    Args:
        path: PNG to write.
        tables: `baseline` and `rrnet`, each `count`, `predicted` and `rating` by bin.
        title: Over all.
    """
    means = [
        value
        for table in tables.values()
        for key in ("predicted", "rating")
        for value, count in zip(table[key], table["count"], strict=True)
        if count
    ]
    margin = 0.05 * (max(means) - min(means)) + 1e-3
    limits = (min(means) - margin, max(means) + margin)
    _calibration(
        path,
        tables,
        title,
        ("predicted", "rating"),
        ("mean predicted rating", "mean true rating"),
        limits,
    )


def _calibration(
    path: Path,
    tables: Mapping[str, Mapping[str, Any]],
    title: str,
    keys: tuple[str, str],
    labels: tuple[str, str],
    limits: tuple[float, float],
) -> None:
    figure = new_figure(5.6, 6.2, title)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot(limits, limits, color="black", linewidth=0.8, linestyle="--", label="perfect")
    # the baseline is the wider line, so that it shows where RR-Net lies on it
    for (key, name, colour), width in zip(SIDES, (4.0, 1.5), strict=True):
        count = np.asarray(tables[key]["count"])
        x, y = (np.asarray(tables[key][column])[count > 0] for column in keys)
        share = count[count > 0] / count.sum()
        style = {"marker": "o", "markersize": width + 2.5, "linewidth": width, "color": colour}
        upper.plot(x, y, label=name, **style)
        lower.plot(x, share, **style)
    upper.set(xlim=limits, ylim=limits, ylabel=labels[1])
    upper.legend()
    lower.set(xlabel=labels[0], ylabel="share of instances", ylim=(0.0, None))
    for axis in (upper, lower):
        axis.grid(alpha=0.3)
    save(figure, path)


def new_figure(width: float, height: float, title: str) -> Any:
    """An empty figure, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    # Padding in inches: titles stay clear of panels.
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a PNG."""
    # without matplotlib's own stamp the bytes depend on the picture alone
    figure.savefig(path, dpi=110, format="png", metadata={"Software": None})


def _name_classes(axis: Any, classes: Sequence[str]) -> None:
    # a `$` in a name would start a formula
    names = [name.replace("$", r"\$") for name in classes]
    size = 9 if len(classes) <= _MOST_NUMBERED_CLASSES else 6
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axis.set_yticks(range(len(names)), names, fontsize=size)


def _number_cells(axis: Any, counts: np.ndarray[Any, Any], share: np.ndarray[Any, Any]) -> None:
    for row, column in zip(*np.nonzero(counts), strict=True):
        axis.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            fontsize=7,
            color="white" if share[row, column] > 0.5 else "black",
            in_layout=False,  # they lie within: no need to measure each
        )


def axis_name(column: str) -> str:
    """What a column of a history is called on an axis."""
    known = {
        "loss": "training loss",
        "select_top1": "validation top-1",
        "select_nll": "validation NLL",
        "select_mae": "validation MAE",
        "select_rmse": "validation RMSE",
    }
    return known.get(column, column.replace("_", " "))
