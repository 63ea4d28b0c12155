"""Which rows are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.stages.reproduce import table1, table2, table4
from rrnet_cli.stages.reproduce.cases import Options
from rrnet_cli.stages.reproduce.lines import chosen


def names(module, folder: Path, *only: str) -> list[str]:
    options = Options(data=folder, only=only)
    return [line.case.name for line in chosen(module.lines(options), options)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for folder in ("ESC-10", "cifar10", "filmtrust", "ciao"):
        (tmp_path / folder).mkdir()
    return tmp_path


def test_by_default_what_the_data_are_there_for(data):
    assert names(table1, data) == ["esc10-logmel", "esc10-envnet"]
    assert names(table2, data) == [
        "cifar10-resnet18", "cifar10-resnet50", "cifar10-mobilenet_v2",
        "cifar10-resnet18-cifar",
        "cifar10-resnet18-views10", "cifar10-resnet50-views10", "cifar10-mobilenet_v2-views10",
        "cifar10-resnet18-cifar-views10", "cifar10-resnet18-holdout-views10",
        "cifar10-resnet18-near-resnet50", "cifar10-resnet50-near-resnet18",
        "cifar10-mobilenet_v2-near-resnet18",
    ]  # fmt: skip
    (data / "ESC-50").mkdir()
    assert names(table1, data)[2:] == ["esc50-logmel", "esc50-envnet"]


def test_rows_are_named_by_data_backbone_or_both(data):
    assert names(table1, data, "logmel") == ["esc10-logmel"]
    assert names(table1, data, "m18") == ["esc10-m18"], "not run unless it is named"
    assert names(table1, data, "esc10") == ["esc10-logmel", "esc10-envnet"], "by its own name"
    assert names(table2, data, "resnet18") == ["cifar10-resnet18"]
    assert names(table2, data, "resnet18-cifar", "resnet50") == [
        "cifar10-resnet18-cifar", "cifar10-resnet50"
    ]  # fmt: skip
    assert len(names(table2, data, "cifar10")) == 12
    assert names(table4, data, "ciao") == ["ciao"], "a full name means that row alone"
    assert names(table4, data, "core") == ["ciao-core"]
    assert names(table4, data, "filmtrust-factors", "core-factors") == [
        "filmtrust-factors", "ciao-core-factors"
    ]  # fmt: skip


def test_what_is_refused(data, tmp_path):
    with pytest.raises(ConfigError, match="no row is called 'logmle'") as caught:
        names(table1, data, "logmle")
    assert "did you mean logmel" in caught.value.hint
    with pytest.raises(InputError, match="has no folder ESC-50"):
        names(table1, data, "esc50")
    with pytest.raises(InputError, match="has no folder ESC-10 or ESC-50"):
        names(table1, tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no row is called 'DMCU'"):
        names(table1, data, "DMCU")
