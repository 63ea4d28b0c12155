"""The plots of swept settings: curves of a reproduced figure, points of a sweep's trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrnet_cli.evaluation.plots import SIDES, axis_name, new_figure, save

_MOST_PANELS_A_ROW = 4
_MOST_TICKS = 6


@dataclass(frozen=True)
class Panel:
    """One setting in the plot of a sweep.

    Attributes:
        name: Of the setting.
        values: In each trial. Unless all are numbers they are names, in the order they come in.
        log: Whether the axis of numbers is logarithmic.
        listed: Whether the values are those of a list, which are the ticks then.
    """

    name: str
    values: Sequence[Any]
    log: bool = False
    listed: bool = True


def swept(path: Path, panels: Sequence[Mapping[str, Any]], title: str) -> None:
    """Write `swept_figure` as PNG."""
    save(swept_figure(panels, title), path)


def swept_figure(panels: Sequence[Mapping[str, Any]], title: str) -> Any:
    """A metric against a setting: one panel a data set, one line a method.

    Args:
        panels: Each `title`, `xlabel`, `ylabel` and `lines`: `name`, `x`, `y` and `std`, whose
            None are left out; a line may be `level` (the same for every x).
        title: Over all.
    """
    figure = new_figure(1.0 + 4.4 * len(panels), 4.0, title)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    lines = [line for panel in panels for line in panel["lines"] if not line["level"]]
    names = list(dict.fromkeys(line["name"] for line in lines))
    for axis, panel in zip(axes, panels, strict=True):
        for line in panel["lines"]:
            name, spread = line["name"], [0.0 if std is None else std for std in line["std"]]
            style = (
                {"linestyle": "--", "color": "#7f7f7f"}
                if line["level"]
                # a method has one colour in all panels
                else {"marker": "o", "color": f"C{names.index(name)}"}
            )
            axis.errorbar(
                line["x"], line["y"], spread, label=name, capsize=3, linewidth=1.2, **style
            )
        axis.set(title=panel["title"], xlabel=panel["xlabel"], ylabel=panel["ylabel"])
        axis.set_xticks(sorted({x for line in panel["lines"] for x in line["x"]}))
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    return figure


def trials(
    path: Path,
    panels: Sequence[Panel],
    metric: tuple[str, Sequence[float]],
    chosen: Sequence[bool],
    title: str,
) -> None:
    """The trials of a sweep: one panel a setting that was varied, one point a trial.

    Args:
        path: PNG to write.
        panels: One a setting.
        metric: Column name and value of the metric on the select split; NaN is left out.
        chosen: Whether a trial is one of the chosen setting; these are ringed.
        title: Over all.
    """
    columns = min(len(panels), _MOST_PANELS_A_ROW)
    rows = -(-len(panels) // columns)
    figure = new_figure(1.0 + 4.2 * columns, 0.8 + 3.2 * rows, title)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    ringed, figures = np.asarray(chosen, bool), np.asarray(metric[1], np.float64)
    for axis, panel in zip(axes, panels, strict=False):
        places = _places(axis, panel)
        axis.scatter(places, figures, s=18, color=SIDES[1][2], alpha=0.7)
        axis.scatter(
            places[ringed], figures[ringed], s=90, facecolors="none", edgecolors="black",
            label="chosen",
        )  # fmt: skip
        axis.set_xlabel(panel.name)
        axis.grid(alpha=0.3)
    for axis in axes[::columns]:
        axis.set_ylabel(axis_name(metric[0]))
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    axes[0].legend(fontsize="small")
    save(figure, path)


def _places(axis: Any, panel: Panel) -> np.ndarray[Any, Any]:
    """Where a panel's values stand on its x axis, which gets its scale and ticks."""
    distinct = list(dict.fromkeys(panel.values))
    if not all(isinstance(value, int | float) for value in distinct):
        axis.set_xticks(range(len(distinct)), distinct)
        axis.margins(x=0.2)
        return np.array([distinct.index(value) for value in panel.values], np.float64)
    axis.set_xscale("log" if panel.log else "linear")
    if panel.listed:
        axis.set_xticks(distinct)
    elif panel.log:
        wide = max(distinct) > 100 * min(distinct)
        axis.locator_params(axis="x", subs=(1.0,) if wide else (1.0, 2.0, 5.0))
    else:
        axis.locator_params(axis="x", nbins=_MOST_TICKS)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
    return np.asarray(panel.values, np.float64)
