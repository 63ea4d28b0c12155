"""A dry run finds and never makes; a peer counts only where all runs have it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from rrnet_cli.progress import SilentReporter
from rrnet_cli.stages.reproduce import chain as chain_module
from rrnet_cli.stages.reproduce.cases import (
    Options,
    filmtrust,
    picture,
    with_neighbours,
    with_select_held,
)
from rrnet_cli.stages.reproduce.chain import Chain, NotMadeError, PlanningStore
from rrnet_cli.stages.reproduce.lines import _peers
from rrnet_cli.store.artifact import Key
from rrnet_cli.store.store import Store


def test_a_planning_store_makes_nothing(tmp_path: Path) -> None:
    def build(draft) -> None:
        draft.write_json("metrics.json", {"a": 1})

    key = Key(kind="evaluation", name="toy", params={"b": 2})
    planning = PlanningStore(tmp_path)
    with pytest.raises(NotMadeError, match="evaluation/toy@"):
        planning.materialise(key, build)
    assert not list(tmp_path.iterdir())
    made = Store(tmp_path).materialise(key, build).artifact
    found = planning.materialise(key, build)
    assert found.cached and found.artifact.ref == made.ref


def test_a_peer_that_some_runs_lack_is_left_out() -> None:
    case = filmtrust(Options(data=Path("data"), seeds=[0, 1]))
    have = {0: {"bias": "a", "svd": "b"}, 1: {"bias": "c"}}
    chain = SimpleNamespace(peers=lambda case, run, task: have[run])
    assert _peers(chain, case, "rating") == {"bias": ["a", "c"]}


def test_a_graph_of_two_networks_is_of_features_of_the_same_roles(tmp_path, monkeypatch) -> None:
    made = []

    def stage(name):
        def run(*args, **given):
            made.append({"stage": name, "settings": args[0], **given})
            return SimpleNamespace(artifact=SimpleNamespace(ref=given["name"]), cached=False)

        return run

    for name in ("extract", "build_graph"):
        monkeypatch.setattr(chain_module, name, stage(name))
    one, other = (with_select_held(picture("CIFAR-10", b), 0.5) for b in ("resnet50", "resnet18"))
    case = with_neighbours(one, other, "cifar10-resnet50-near-resnet18")
    chain = Chain(Store(tmp_path), Options(data=tmp_path), SilentReporter())
    for _ in range(2):  # a second preset finds what the first made
        chain.graph(case, 0, "plus")
    networks, held = made[0:3:2], made[1:4:2]
    assert [each["name"] for each in networks] == ["cifar10-resnet50", "cifar10-resnet18"]
    assert [each["weights"] for each in networks] == [None, None]
    assert [each["weights"] for each in held] == ["cifar10-resnet50", "cifar10-resnet18"]
    roles = {(each["settings"].data.holdout, each["settings"].data.holdout_of) for each in held}
    assert roles == {(0.5, "select")}
    (graph,) = made[4:]
    assert graph["name"] == "cifar10-resnet50-near-resnet18"
    assert graph["features"] == "cifar10-resnet50-holdselect"
    assert graph["neighbours"] == "cifar10-resnet18-holdselect"
