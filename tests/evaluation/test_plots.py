"""Plots are PNG files with something on them, the same bytes for the same data."""

import sys

import numpy as np
import pytest

from rrnet_cli.evaluation import plots, sweep_plots
from tests.evaluation.runs import class_run, rating_run

HISTORY = {
    "epoch": [0, 1, 2],
    "loss": [None, 0.7, 0.5],
    "select_nll": [1.0, 0.8, 0.6],
    "select_top1": [0.5, 0.6, 0.7],
}


def pixels(path):
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def draw(kind, path, gain=1.0):
    if kind == "confusion":
        plots.confusion(path, class_run(gain=gain).detail("abcd")["confusion"], "abcd", "T")
    elif kind == "many":
        rng = np.random.default_rng(int(gain))
        table = rng.integers(0, 9, (60, 60)).tolist()
        plots.confusion(path, {"baseline": table, "rrnet": table}, ["x"] * 60, "T")
    elif kind == "reliability":
        plots.reliability(path, class_run(gain=gain).detail("abcd")["reliability"], "T")
    elif kind == "ratings":
        plots.rating_reliability(path, rating_run(gain=gain / 2).detail()["reliability"], "T")
    elif kind == "swept":
        level = {"name": "baseline", "x": [2, 4], "y": [0.5, 0.5], "std": [None] * 2}
        ours = {"name": "plus", "x": [2, 4], "y": [0.5, gain], "std": [0.1, None]}
        lines = [level | {"level": True}, ours | {"level": False}]
        panel = {"title": "A", "xlabel": "K", "ylabel": "top-1", "lines": lines}
        sweep_plots.swept(path, [panel, panel], "T")
    elif kind == "trials":
        panels = [
            sweep_plots.Panel("lr", [0.001, 0.02, 0.3], log=True, listed=False),
            sweep_plots.Panel("wide", [1e-6, 0.02, 1.0], log=True, listed=False),
            sweep_plots.Panel("dropout", [0.1, 0.25, 0.33], listed=False),
            sweep_plots.Panel("hidden", [8, 16, 128], log=True),
            sweep_plots.Panel("patience", ["null", "30", "null"]),
        ]
        metric = ("select_top1", [0.5, float("nan"), 0.5 + gain / 4])
        sweep_plots.trials(path, panels, metric, [False, False, True], "T")
    else:
        shifted = [(value or 0) + gain for value in HISTORY["loss"]]
        plots.curves(path, [("fold 1", HISTORY), ("fold 2", HISTORY | {"loss": shifted})], "T")


@pytest.mark.parametrize(
    "kind", ["confusion", "many", "reliability", "ratings", "swept", "curves", "trials"]
)
def test_a_plot_depends_on_its_data_and_on_nothing_else(kind, tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    for path, gain in zip(paths, (1.0, 1.0, 0.0), strict=True):
        draw(kind, path, gain)
    first, again, other = (path.read_bytes() for path in paths)
    assert first == again != other
    image = pixels(paths[0])
    assert min(image.shape[:2]) > 300
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20


def test_a_history_of_one_epoch_can_be_drawn(tmp_path):
    one = {"epoch": [0], "loss": [None], "select_mae": [0.5]}
    plots.curves(tmp_path / "one.png", [("seed 0", one)], "T")
    assert pixels(tmp_path / "one.png").size


def test_a_dollar_in_a_class_name_is_no_formula(tmp_path):
    table = {"baseline": [[3, 1], [0, 2]], "rrnet": [[3, 1], [0, 2]]}
    plots.confusion(tmp_path / "x.png", table, ["$\\frac{", "a$b$c"], "T")
    assert pixels(tmp_path / "x.png").size


def test_pyplot_and_its_global_state_are_not_touched(tmp_path):
    import subprocess

    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rrnet_cli.evaluation import plots, sweep_plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.curves(Path(sys.argv[1]), [('a', {'epoch': [0, 1], 'loss': [2, 1]})], 'T')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "x.png")], check=True)


def test_a_method_has_one_colour_in_all_panels():
    def panel(*names):
        lines = [{"name": name, "x": [1], "y": [0.5], "std": [None], "level": name == "baseline"}
                 for name in names]  # fmt: skip
        return {"title": "A", "xlabel": "K", "ylabel": "top-1", "lines": lines}

    figure = sweep_plots.swept_figure([panel("baseline", "paper", "plus"), panel("plus")], "T")
    colours = [
        {c.get_label(): c.lines[0].get_color() for c in axis.containers} for axis in figure.axes
    ]
    assert colours[0]["plus"] == colours[1]["plus"]
    assert len(set(colours[0].values())) == 3
