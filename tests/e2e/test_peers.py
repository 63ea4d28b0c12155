"""`rrnet peers` and the judgement of what it makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.layouts import write_filmtrust

pytestmark = pytest.mark.filterwarnings("ignore")  # as in a process of its own

Invoke = Callable[..., Result]


def test_rating_peers_are_made_once_and_judged(invoke: Invoke, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_filmtrust(data, 8)
    assert invoke("extract", "filmtrust", "--data", data, "--name", "ft").code == 0
    assert invoke("build-graph", "ft", "--intra", "links", "--inter", "rated").code == 0
    made = invoke("--json", "peers", "ft", "--only", "mf,socialmf")
    assert made.code == 0, made.err
    assert [row["peer"] for row in made.json["peers"]] == ["mf", "socialmf"]
    assert not any(row["cached"] for row in made.json["peers"])
    again = invoke("--json", "peers", "ft", "--only", "mf,socialmf")
    assert all(row["cached"] for row in again.json["peers"])
    judged = invoke("--json", "eval", "ft-mf", "--resamples", "50")
    assert judged.code == 0, judged.err
    assert '"preset": "mf"' in judged.out


def test_class_peers_of_a_graph(invoke: Invoke, store: Path) -> None:
    made = invoke("--json", "peers", "--only", "temperature,knn,logreg")
    assert made.code == 0, made.err
    for row in made.json["peers"]:
        assert set(row["best"]) == {"select_top1", "select_nll"}
        assert invoke("eval", row["artifact"], "--resamples", "50").code == 0


def test_what_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_filmtrust(data, 8)
    assert invoke("extract", "filmtrust", "--data", data, "--name", "ft").code == 0
    assert invoke("build-graph", "ft", "--intra", "none", "--inter", "rated").code == 0
    result = invoke("peers", "ft", "--only", "socialmf")
    assert result.code == 2 and "links" in result.err
    result = invoke("peers", "ft", "--only", "socialfm")
    assert result.code == 2 and "did you mean socialmf" in result.err
    result = invoke("peers", "ft", "--only", "bias,mf")
    assert result.code == 0, result.err
