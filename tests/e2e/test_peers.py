"""`rrnet peers` and the judgement of what it makes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.registry import PEERS
from rrnet_cli.evaluation.peers.registry import peers as registered
from rrnet_cli.evaluation.peers.trustsvd import PEER as TRUSTSVD
from rrnet_cli.evaluation.peers.tune import Tuned, tune
from rrnet_cli.stages._second import left_features
from rrnet_cli.stages.peers import class_data, rating_data
from rrnet_cli.store.store import Store
from tests.conftest import Result
from tests.layouts import write_filmtrust

pytestmark = pytest.mark.filterwarnings("ignore")  # as in a process of its own

Invoke = Callable[..., Result]
PAIR = ("users", "items")


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


@pytest.mark.parametrize("data", ["digits", "filmtrust"])
def test_peers_know_held_labels_too(data: str, invoke: Invoke, tmp_path: Path) -> None:
    folder = [] if data == "digits" else ["--data", tmp_path / "ft"]
    if folder:
        write_filmtrust(tmp_path / "ft", 8)
    assert invoke("extract", data, *folder, "--holdout", "0.2", "--name", "held").code == 0
    assert invoke("build-graph", "held").code == 0
    store = Store(tmp_path / "artifacts")
    graph, features = store.resolve("graph", "held"), store.resolve("features", "held")
    table = "instances.parquet" if data == "digits" else "ratings.parquet"
    role = features.table(table)["role"].to_numpy()
    if data == "digits":
        known = class_data(graph, features, left_features(features, graph, store))
        assert np.array_equal(known.labels >= 0, np.isin(role, ("fit", "hold")))
        assert np.array_equal(known.held, role == "hold") and known.held.any()
    else:
        assert len(rating_data(graph, features).rating) == np.isin(role, ("fit", "hold")).sum()


def test_a_graph_of_two_features_goes_all_the_way(invoke: Invoke) -> None:
    assert invoke("extract", "digits", "--name", "first").code == 0
    assert invoke("extract", "digits", "--cross-fit", "2", "--name", "second").code == 0
    made = invoke("--json", "build-graph", "first", "--neighbours", "second")
    assert made.code == 0, made.err
    graph = made.json["artifact"]
    assert graph.startswith("graph/first-near-second@")
    for command in ("train", "peers"):
        more = ("--epochs", "2") if command == "train" else ("--only", "knn")
        done = invoke(command, graph, *more)
        assert done.code == 0, done.err
    assert invoke("eval", "first-near-second-knn", "--resamples", "50").code == 0
    assert invoke("extract", "digits", "--set", "data.split_seed=1", "--name", "other").code == 0
    refused = invoke("build-graph", "first", "--neighbours", "other")
    assert refused.code == 3 and "another role" in refused.err


def test_no_rating_peer_sees_a_test_rating(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test pairs get other ratings in the raw file: every score keeps its bits."""

    def sooner(peer: Peer, *more: Any) -> Tuned:  # one choice is as good as many
        few = {key: values[: 2 if key == "reg" else 1] for key, values in peer.grid.items()}
        return tune(replace(peer, grid=few), *more)

    monkeypatch.setattr("rrnet_cli.stages.peers.tune", sooner)
    monkeypatch.setattr("rrnet_cli.features.factors.MAX_STEPS", 60)
    write_filmtrust(tmp_path / "true", 8)
    store = Store(tmp_path / "artifacts")
    lacking = () if find_spec("surprise") else ("svd", "svdpp")
    names = [name for name in PEERS["rating"] if name not in lacking]

    def scores(name: str) -> dict[str, bytes]:
        data = tmp_path / name
        assert invoke("extract", "filmtrust", "--data", data, "--name", name).code == 0
        assert invoke("build-graph", name, "--intra", "links", "--inter", "rated").code == 0
        made = invoke("peers", name, "--only", ",".join(names))
        assert made.code == 0, made.err
        tables = (store.resolve("model", f"{name}-{n}").table("scores.parquet") for n in names)
        return {n: t["score"].to_numpy().tobytes() for n, t in zip(names, tables, strict=True)}

    before = scores("true")
    features = store.resolve("features", "true")
    users, items = (features.table(f"{side}.parquet")["id"].to_pylist() for side in PAIR)
    rated = features.table("ratings.parquet").to_pylist()
    test = {(users[r["user"]], items[r["item"]]) for r in rated if r["role"] == "test"}
    lines = [line.split() for line in (tmp_path / "true/ratings.txt").read_text().splitlines()]
    rows = [number for number, line in enumerate(lines) if (line[0], line[1]) in test]
    assert len(rows) >= len(test) > 0
    given = np.array([line[2] for line in lines])
    given[rows] = np.where(given[rows] == "4", "0.5", "4")
    (tmp_path / "other").mkdir()
    changed = (f"{line[0]} {line[1]} {value}\n" for line, value in zip(lines, given, strict=True))
    (tmp_path / "other/ratings.txt").write_text("".join(changed))
    (tmp_path / "other/trust.txt").write_bytes((tmp_path / "true/trust.txt").read_bytes())
    assert scores("other") == before
    kept = store.resolve("features", "other").table("ratings.parquet")
    assert kept["rating"].to_pylist() != [row["rating"] for row in rated]


def test_class_peers_of_a_graph(invoke: Invoke, store: Path) -> None:
    made = invoke("--json", "peers", "--only", "temperature,knn,logreg")
    assert made.code == 0, made.err
    for row in made.json["peers"]:
        assert set(row["best"]) == {"select_top1", "select_nll"}
        assert invoke("eval", row["artifact"], "--resamples", "50").code == 0


def test_what_each_class_peer_is_given(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who learns from the prior of FIT has one that did not see it; all know the candidates."""
    given: dict[str, ClassData] = {}

    def seen(peer: Peer, data: ClassData, *more: Any) -> Tuned:
        given[peer.name] = data
        return tune(peer, data, *more)

    monkeypatch.setattr("rrnet_cli.stages.peers.tune", seen)
    assert invoke("extract", "digits", "--limit", "12", "--name", "some").code == 0
    assert invoke("build-graph", "some", "--k-inter", "4").code == 0
    names = ("knn", "correct-and-smooth")
    assert invoke("peers", "some", "--only", ",".join(names)).code == 0
    plain, corrected = (given[name] for name in names)
    assert (plain.candidates.sum(axis=1) == 4).all()
    moved = (plain.log_prior != corrected.log_prior).any(axis=1)
    assert moved[plain.labels >= 0].all() and not moved[plain.labels < 0].any()
    for name in names:
        (peer,) = registered("classification", [name])
        made = Store(tmp_path / "artifacts").resolve("model", f"some-{name}")
        assert made.manifest.params["revision"] == peer.revision


def test_peers_without_their_library_are_left_out_unless_named(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_filmtrust(tmp_path / "data", 8)
    assert invoke("extract", "filmtrust", "--data", tmp_path / "data", "--name", "ft").code == 0
    assert invoke("build-graph", "ft", "--intra", "links", "--inter", "rated").code == 0
    few = {name: PEERS["rating"][name] for name in ("bias", "svd", "svdpp")}
    monkeypatch.setitem(PEERS, "rating", few)
    monkeypatch.setitem(sys.modules, "surprise", None)  # import surprise: ImportError
    made = invoke("--json", "peers", "ft")
    assert made.code == 0, made.err
    assert [row["peer"] for row in made.json["peers"]] == ["bias"]
    notes = [line for line in made.err.splitlines() if "svd" in line]
    assert notes == ["left out, not installed (pip install 'rrnet[peers]'): svd, svdpp"]
    named = invoke("peers", "ft", "--only", "bias,svd")
    assert named.code == 7 and "scikit-surprise" in named.err


def test_peers_are_listed_without_a_store_or_their_library(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "surprise", None)
    listed = invoke("--json", "peers", "--list").json["peers"]
    assert [row["peer"] for row in listed] == [*PEERS["rating"], *PEERS["classification"]]
    by_name = {row["peer"]: row for row in listed}
    assert by_name["trustsvd"] == {
        "peer": "trustsvd",
        "task": "rating",
        "reference": TRUSTSVD.reference,
        "grid": {name: list(values) for name, values in TRUSTSVD.grid.items()},
        "needs": "links",
    }
    assert by_name["svd"]["needs"] == "surprise" and by_name["mf"]["needs"] is None
    text = invoke("peers", "--list").out
    assert len(text.splitlines()) == 1 + len(listed)
    assert "dim 10; reg 0.6, 1.2, 2.4, 4.8; social 0.1, 0.9" in text
    refused = invoke("peers", "ft", "--list")
    assert refused.code == 2 and "--list" in refused.err


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
