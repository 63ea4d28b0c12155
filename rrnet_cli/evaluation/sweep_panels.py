"""The curves of a swept setting, as plain values: what `sweep_plots.swept` draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rrnet_cli.evaluation.comparison import METRICS
from rrnet_cli.evaluation.reproduction import ResultLine


def sweep_panels(lines: Sequence[ResultLine], label: str) -> list[dict[str, Any]]:
    """What `sweep_plots.swept` draws: a panel a data set that has figures, ours or printed."""
    panels = []
    for data in dict.fromkeys(line.data for line in lines):
        mine = [line for line in lines if line.data == data and line.setting]
        drawn = [_curve(mine, method) for method in ("baseline", "paper", "plus")]
        points = [(line.setting[1], line.paper.value, line.paper.std) for line in mine
                  if line.setting and line.paper]  # fmt: skip
        drawn.append(_points("RR-Net in the paper", points))
        filled = [line for line in drawn if line["x"]]
        if filled:
            panels.append(
                {
                    "title": f"{data}, {mine[0].backbone}",
                    "xlabel": label,
                    "ylabel": METRICS[mine[0].metric].label,
                    "lines": filled,
                }
            )
    return panels


def _curve(lines: Sequence[ResultLine], method: str) -> dict[str, Any]:
    names = {"baseline": "baseline", "paper": "paper preset", "plus": "plus"}
    points = [
        (line.setting[1], line.ours[method].value, line.ours[method].std)
        for line in lines
        if line.setting and method in line.ours
    ]
    return _points(names[method], points, level=method == "baseline")


def _points(
    name: str, points: Sequence[tuple[int, float, float | None]], *, level: bool = False
) -> dict[str, Any]:
    x, y, std = ([point[column] for point in points] for column in range(3))
    return {"name": name, "x": x, "y": y, "std": std, "level": level}
