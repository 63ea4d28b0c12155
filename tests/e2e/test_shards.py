"""Extraction in shards through the command line: the same features, or one clear sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from rrnet_cli.features.vision import VisionNet
from tests.conftest import Result
from tests.e2e.conftest import version_folder
from tests.layouts import write_esc

pytestmark = pytest.mark.filterwarnings("ignore")  # as in a process of its own

Command = Callable[..., Result]
DIGITS = ("extract", "digits", "--backbone", "resnet18", "--limit", "20", "--epochs", "1")
NETWORK = (*DIGITS, "--batch-size", "32", "--views", "2", "--precision", "float32", "--name", "d")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of one convolution for a ResNet, which would be most of the tests' time."""

    def build(settings: Any, num_classes: int, seed: int) -> VisionNet:
        import torch

        torch.manual_seed(seed)
        layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        trunk = nn.Sequential(*layers, nn.Flatten())
        return VisionNet(trunk, 8, num_classes, settings.feature_dim)

    monkeypatch.setattr("rrnet_cli.stages._network_baseline.build_baseline", build)


def well(result: Result) -> Result:
    assert result.code == 0, result.err
    return result


def content(folder: Path) -> dict[str, Any]:
    """What an artifact holds and is called, without when and how fast it was made."""
    manifest = json.loads((folder / "manifest.json").read_text())
    same = ("kind", "name", "version", "params", "inputs", "data", "summary", "files")
    return {name: manifest[name] for name in same}


def test_a_network(invoke: Command, tmp_path: Path) -> None:
    well(invoke(*NETWORK, "--artifacts", "alone"))
    early = invoke(*NETWORK, "--shard", "1/3")
    assert early.code == 4
    assert "the network of d is not fitted" in early.err and "--fit-only" in early.err
    well(invoke(*NETWORK, "--fit-only"))
    for number in (2, 3, 1):
        well(invoke(*NETWORK, "--shard", f"{number}/3"))
    assert well(invoke(*NETWORK, "--shard", "1/3", "--json")).json["cached"] is True
    merged = well(invoke("merge", "d-3of3", "d-1of3", "d-2of3", "--json")).json
    assert merged["cached"] is False
    assert content(version_folder(tmp_path / "artifacts", "features")) == content(
        version_folder(tmp_path / "alone", "features")
    )
    again = well(invoke(*NETWORK, "--json")).json  # unsharded: the merged ones are the answer
    assert again["cached"] is True and again["artifact"] == merged["artifact"]
    well(invoke("build-graph", "d", "--k-intra", "3"))


def test_shards_of_a_given_network_from_the_stores_of_other_machines(
    invoke: Command, tmp_path: Path
) -> None:
    plain = tuple(word if word != "2" else "1" for word in NETWORK)
    well(invoke(*plain, "--artifacts", "first"))
    views = (*NETWORK[:-1], "v", "--weights", "d")
    for store in ("alone", "left", "right"):
        shutil.copytree(tmp_path / "first", tmp_path / store, symlinks=True)
    well(invoke(*views, "--artifacts", "alone"))
    well(invoke(*views, "--artifacts", "left", "--shard", "1/2"))
    well(invoke(*views, "--artifacts", "right", "--shard", "2/2"))
    well(invoke("merge", "left/shard/v-1of2", "right/shard/v-2of2", "--artifacts", "first"))
    (alone,) = (tmp_path / "alone").glob("features/v/[0-9a-f]*/")
    (merged,) = (tmp_path / "first").glob("features/v/[0-9a-f]*/")
    assert content(merged) == content(alone)


def test_log_mel_statistics_need_no_fit_before(invoke: Command, tmp_path: Path) -> None:
    write_esc(tmp_path / "esc", subset10=True, seconds=0.2)
    sounds = ("extract", "esc10", "--data", "esc", "--backbone", "logmel", "--name", "s")
    sounds = (*sounds, "--limit", "4", "--cross-fit", "2")
    well(invoke(*sounds, "--artifacts", "alone"))
    assert "fitted when its shards are merged" in invoke(*sounds, "--fit-only").err
    for number in (1, 2):
        well(invoke(*sounds, "--shard", f"{number}/2"))
    well(invoke("merge", "s-1of2", "s-2of2"))
    assert content(version_folder(tmp_path / "artifacts", "features")) == content(
        version_folder(tmp_path / "alone", "features")
    )


def test_shards_that_do_not_fit(invoke: Command, tmp_path: Path) -> None:
    for seed, count in (("0", "3"), ("1", "3"), ("0", "2")):
        well(invoke(*NETWORK, "--fit-only", "--seed", seed))
        for number in ("1", "2"):
            name = f"{seed}-{count}-{number}"
            shard = ("--shard", f"{number}/{count}", "--seed", seed, "--name", name)
            well(invoke(*NETWORK, *shard))

    def refused(*numbers: str) -> tuple[int, str]:
        result = invoke("merge", *numbers)
        assert len(result.error_lines) == 1
        return result.code, result.error_lines[0]

    code, line = refused("0-3-1-1of3")
    assert code == 4 and "2 of 3 shards of 0-3-1 are missing: 2/3, 3/3" in line
    code, line = refused("0-3-1-1of3", "1-3-2-2of3")
    assert code == 2 and "different extractions (seed, network)" in line
    code, line = refused("0-3-1-1of3", "0-2-2-2of2")
    assert code == 2 and "(number of shards)" in line
    code, line = refused("0-3-1-1of3", "0-3-1-1of3")
    assert code == 2 and "shard 1/3 is given twice" in line
    assert refused("d")[0] == 4
    assert not list((tmp_path / "artifacts").glob("features/*/[0-9a-f]*"))
    shutil.rmtree(tmp_path / "artifacts" / "baseline")
    assert invoke("merge", "0-2-1-1of2", "0-2-2-2of2").code == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--backbone", "pixels", "--shard", "1/2"), "pixels is fitted on all instances at once"),
        (("--cross-fit", "2", "--fit-only"), "--cross-fit fits 2 more networks"),
        (("--shard", "3/2"), "--shard 3/2 is no shard"),
        (("--shard", "1/2", "--fit-only"), "exclude each other"),
        (("--shard", "1/2", "--on-error", "skip"), "a shard cannot leave out files"),
        (("--weights", "d", "--fit-only"), "--weights names a fitted network"),
    ],
)
def test_what_has_no_shards(invoke: Command, words: tuple[str, ...], sentence: str) -> None:
    result = invoke(*DIGITS, *words)
    assert result.code == 2 and sentence in result.error_lines[0]


def test_more_shards_than_batches(invoke: Command) -> None:
    well(invoke(*NETWORK, "--fit-only"))
    result = invoke(*NETWORK, "--shard", "1/99")
    assert result.code == 2
    assert "in batches of 32 cannot be shared out among 99 shards" in result.error_lines[0]
