"""How the network baselines of a table were trained: their curves, drawn and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.evaluation.plots import new_figure, save


@dataclass(frozen=True)
class TrainingCurves:
    """The trainings of one network, one a fold.

    Attributes:
        network: Name of its case: `cifar10-resnet18`.
        data, backbone: As they are written in the table.
        runs: What each training is called: `fold 1`.
        top1: (len(runs), epochs) float64, percent of the select instances after each epoch.
    """

    network: str
    data: str
    backbone: str
    runs: Sequence[str]
    top1: NDArray[np.float64]

    @property
    def epochs(self) -> int:
        """Of each training."""
        return int(self.top1.shape[1])

    @property
    def mean(self) -> NDArray[np.float64]:
        """Over the runs, (epochs,)."""
        return np.asarray(self.top1.mean(axis=0))

    @property
    def title(self) -> str:
        """Of its panel: which network, and how many epochs."""
        return f"{self.data}, {self.backbone}: {_count(self.epochs, 'epoch')}"

    def in_words(self) -> str:
        """One sentence for the page."""
        runs, last = len(self.runs), self.mean[-1]
        which = self.runs[0] if runs == 1 else f"each of {runs} runs"
        mean = "" if runs == 1 else " on average"
        return f"{self.title} in {which}; after the last, {last:.2f} % top-1 on select{mean}."


def training_text(networks: Sequence[TrainingCurves]) -> str:
    """What the curves are, and how many epochs each network was trained for; Markdown."""
    what = (
        "Top-1 on the select instances after each epoch, on one central view; thin a run, bold "
        "their mean. The network of the last epoch is used: none is chosen by this curve."
    )
    return "\n".join([what, "", *(f"- {network.in_words()}" for network in networks)])


def trained(path: Path, networks: Sequence[TrainingCurves], title: str) -> None:
    """Write `training_figure` as PNG."""
    save(training_figure(networks, title), path)


def training_figure(networks: Sequence[TrainingCurves], title: str) -> Any:
    """Top-1 on select against the epoch: one panel a network, thin a run and bold their mean.

    Args:
        networks: One a panel, one or more.
        title: Over all.
    """
    figure = new_figure(1.0 + 4.4 * len(networks), 4.0, title)
    axes = figure.subplots(1, len(networks), squeeze=False)[0]
    for axis, network in zip(axes, networks, strict=True):
        epochs = np.arange(1, network.epochs + 1)
        # a line of one point would not be seen
        marker = "." if network.epochs < 3 else ""
        if len(network.runs) > 1:
            for run, top1 in zip(network.runs, network.top1, strict=True):
                axis.plot(epochs, top1, label=run, linewidth=0.8, alpha=0.6, marker=marker)
        name = "mean" if len(network.runs) > 1 else network.runs[0]
        axis.plot(epochs, network.mean, label=name, linewidth=2.4, color="black", marker=marker)
        axis.set(title=network.title, xlabel="epoch", ylabel="top-1 on select (%)")
        axis.locator_params(axis="x", integer=True)  # there is no epoch 2.5
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small", loc="lower right")
    return figure


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
