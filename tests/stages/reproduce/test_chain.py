"""A dry run finds and never makes; a peer counts only where all runs have it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from rrnet_cli.stages.reproduce.cases import Options, filmtrust
from rrnet_cli.stages.reproduce.chain import NotMadeError, PlanningStore
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
