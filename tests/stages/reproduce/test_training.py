"""The curves of a table's networks, as they are read from features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from rrnet_cli.stages.reproduce.cases import Options, picture, sound, with_views
from rrnet_cli.stages.reproduce.lines import Line
from rrnet_cli.stages.reproduce.training import networks, training_curves
from rrnet_cli.store.artifact import Key
from rrnet_cli.store.store import Store

OPTIONS = Options(data=Path("data"), folds=[1, 3])
ENVNET = Line("ESC-10", "EnvNet", sound("ESC-10", "envnet", OPTIONS))
LOGMEL = Line("ESC-10", "logmel", sound("ESC-10", "logmel", OPTIONS))
PUBLISHED = Line("ESC-10", "DMCU")


def features(folder: Path, name: str, top1: list[float] | None):
    """Features with a history, or without."""

    def build(draft) -> None:
        draft.write_json("nothing.json", {})
        if top1 is not None:
            columns = {"epoch": list(range(1, len(top1) + 1)), "select_top1": top1}
            draft.write_table("history.parquet", pa.table(columns))

    return Store(folder).materialise(Key("features", name, {}), build).artifact


def chain(made):
    return SimpleNamespace(features=lambda case, run: made.get((case.name, run)))


def test_one_row_a_fold_in_percent(tmp_path: Path) -> None:
    made = {
        ("esc10-envnet", 1): features(tmp_path, "a", [0.25, 0.5]),
        ("esc10-envnet", 3): features(tmp_path, "b", [0.125, 0.75]),
        ("esc10-logmel", 1): features(tmp_path, "c", None),
        ("esc10-logmel", 3): features(tmp_path, "d", None),
    }
    (found,) = training_curves(chain(made), [LOGMEL, ENVNET, PUBLISHED], [])
    assert (found.network, found.data, found.backbone) == ("esc10-envnet", "ESC-10", "EnvNet")
    assert found.runs == ["fold 1", "fold 3"] and found.epochs == 2
    np.testing.assert_array_equal(found.top1, [[25.0, 50.0], [12.5, 75.0]])


def test_no_network_no_curves(tmp_path: Path) -> None:
    made = {("esc10-logmel", run): features(tmp_path, f"l{run}", None) for run in (1, 3)}
    assert training_curves(chain(made), [LOGMEL, PUBLISHED], []) == []
    assert training_curves(chain({}), [ENVNET], []) == [], "a dry run that lacks them"
    nothing = {("esc10-envnet", run): features(tmp_path, f"e{run}", [np.nan]) for run in (1, 3)}
    assert training_curves(chain(nothing), [ENVNET], []) == [], "nothing to select on"


def test_a_network_that_two_lines_use_is_drawn_once(tmp_path: Path) -> None:
    case = picture("CIFAR-10", "resnet18")
    plain = Line("CIFAR-10", "ResNet18", case)
    views = replace(plain, backbone="ResNet18, 10 views", case=with_views(case, 10))
    made = {("cifar10-resnet18", 0): features(tmp_path, "a", [0.5, 0.75, 0.625])}
    (found,) = training_curves(chain(made), [plain, views], [plain, views])
    assert found.backbone == "ResNet18" and found.runs == ["one run"]
    np.testing.assert_array_equal(found.top1, [[50.0, 75.0, 62.5]])
    (alone,) = training_curves(chain(made), [views], [plain, views])
    np.testing.assert_array_equal(alone.top1, found.top1)
    assert alone.network == found.network == "cifar10-resnet18"
    assert alone.backbone == "ResNet18", "named after its own line"
    assert networks([views, LOGMEL, PUBLISHED, plain]) == ["cifar10-resnet18", "esc10-logmel"]
