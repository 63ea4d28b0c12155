"""Training curves: what is drawn, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from rrnet_cli.evaluation.reproduction_pages import Reproduction
from rrnet_cli.evaluation.training_curves import (
    TrainingCurves,
    trained,
    training_figure,
    training_text,
)

FOLDS = TrainingCurves(
    "esc10-envnet",
    "ESC-10",
    "EnvNet",
    ["fold 1", "fold 2"],
    np.array([[10.0, 30.0, 50.0], [20.0, 30.0, 75.0]]),
)
ALONE = TrainingCurves("net", "CIFAR-10", "ResNet18", ["one run"], np.array([[60.0, 80.5]]))


def drawn(axis):
    """Label to (x, y, line width) of every line."""
    return {
        line.get_label(): (*map(list, line.get_data()), line.get_linewidth())
        for line in axis.get_lines()
    }


def test_a_fold_is_thin_and_their_mean_is_bold():
    (axis,) = training_figure([FOLDS], "T").axes
    lines = drawn(axis)
    assert list(lines) == ["fold 1", "fold 2", "mean"]
    assert lines["fold 1"][:2] == ([1, 2, 3], [10.0, 30.0, 50.0])
    assert lines["fold 2"][:2] == ([1, 2, 3], [20.0, 30.0, 75.0])
    assert lines["mean"][:2] == ([1, 2, 3], [15.0, 30.0, 62.5])
    assert lines["mean"][2] > 2 * max(lines["fold 1"][2], lines["fold 2"][2])
    assert axis.get_title() == "ESC-10, EnvNet: 3 epochs"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "top-1 on select (%)")


def test_a_network_is_a_panel_and_a_run_alone_is_drawn_once():
    folds, alone = training_figure([FOLDS, ALONE], "T").axes
    assert len(folds.get_lines()) == 3
    assert {name: line[:2] for name, line in drawn(alone).items()} == {
        "one run": ([1, 2], [60.0, 80.5])
    }
    assert alone.get_title() == "CIFAR-10, ResNet18: 2 epochs"


def test_a_single_epoch_is_seen():
    one = TrainingCurves("esc10-m18", "ESC-10", "M18", ["fold 1"], np.array([[12.5]]))
    (axis,) = training_figure([one], "T").axes
    (line,) = axis.get_lines()
    assert line.get_marker() == "." and axis.get_title().endswith(": 1 epoch")
    (longer, *_) = training_figure([FOLDS], "T").axes[0].get_lines()
    assert longer.get_marker() in ("", "None")


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (
            FOLDS,
            "ESC-10, EnvNet: 3 epochs in each of 2 runs; after the last, 62.50 % top-1 on select "
            "on average.",
        ),
        (
            ALONE,
            "CIFAR-10, ResNet18: 2 epochs in one run; after the last, 80.50 % top-1 on select.",
        ),
    ],
)
def test_the_page_says_how_many_epochs(network, sentence):
    page = Reproduction("table1", "T", [], [], training=[network], notes=["a note"]).markdown()
    assert f"- {sentence}\n" in page and training_text([network]) in page
    assert "![Training of the networks](table1.png)" in page
    assert page.index("a note") < page.index("## Training") < page.index("Written by")
    assert "Training" not in Reproduction("table1", "T", [], []).markdown()


def test_the_file_depends_on_the_curves_alone(tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, network in zip(paths, (FOLDS, FOLDS, ALONE), strict=True):
        trained(path, [network], "T")
    first, again, other = (path.read_bytes() for path in paths)
    assert first[:4] == b"\x89PNG" and first == again != other
