"""What `eval` refuses to judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rrnet_cli.errors import ArtifactCorruptError, ConfigError, UpstreamError
from rrnet_cli.evaluation.oracle import OracleBound
from rrnet_cli.stages.judging import Source, judge, oracle
from rrnet_cli.store.store import Store
from tests.stages.evaluations import (
    CANDIDATES,
    NUM,
    SETTINGS,
    class_problem,
    put,
    put_model,
    rating_problem,
    run,
    some_scores,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture(autouse=True)
def no_network_and_no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests are about figures; `monkeypatch.undo()` brings plots and the real score back."""
    monkeypatch.setattr("rrnet_cli.stages.scoring.score", some_scores)
    monkeypatch.setattr("rrnet_cli.stages.evaluate._draw", lambda *arguments: None)


def test_a_test_label_in_the_graph_is_refused(store):
    with pytest.raises(ArtifactCorruptError, match="test"):
        run(store, class_problem(store, leak=True))


def test_a_graph_with_other_roles_is_refused(store):
    roles = np.tile(["fit", "select", "fit"], NUM)[: NUM * CANDIDATES]
    with pytest.raises(UpstreamError, match="another role"):
        run(store, class_problem(store, edge_role=roles))


def test_an_instance_without_candidates_is_refused(store):
    source = Source.open(store, str(class_problem(store)))
    name = "edges/audio.inter.text.parquet"
    table = source.graph.table(name)
    kept = table.filter(pa.array(table["src"].to_numpy() != 4))
    graph = put(store, "graph", "bare", {name: kept}, {"k": 1}, {"features": source.features.ref})
    model = put_model(store, graph, source.features.ref, "bare-plus", "plus", 0)
    with pytest.raises(UpstreamError, match=r"no inter-edge for 1 test instances, first 'clip4'"):
        run(store, model)


def test_a_rating_without_an_edge_is_refused(store):
    with pytest.raises(UpstreamError, match=r"no inter-edge for \d+ of \d+ test ratings"):
        run(store, rating_problem(store, unrated=False))


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        (lambda s: s[:-1], "scores .* edges"),
        (lambda s: np.where(np.arange(len(s)) == 5, np.nan, s), "NaN or infinity on 1 edges"),
        (lambda s: s + 1, "probability outside"),
    ],
)
def test_impossible_scores_are_refused(store, scores, complaint):
    source = Source.open(store, str(class_problem(store)))
    wrong = scores(some_scores(store, source.model)).astype(np.float32)
    with pytest.raises(UpstreamError, match=complaint):
        judge(source, wrong, SETTINGS)


def test_an_empty_split_is_refused(store, monkeypatch):
    source = Source.open(store, str(class_problem(store)))
    settings = SETTINGS.model_copy(update={"split": "nobody"})
    with pytest.raises(ConfigError, match="no nobody instances"):
        judge(source, some_scores(store, source.model), settings)


def test_a_model_of_another_graph_is_refused(store):
    one, other = (Source.open(store, str(class_problem(store, fold))) for fold in (1, 2))
    mixed = put_model(store, one.graph.ref, other.features.ref, "mixed", "plus", 0)
    with pytest.raises(UpstreamError, match="was trained on"):
        run(store, mixed)


def test_the_oracle_bound_counts_errors_that_the_graph_could_mend(store):
    """By loops over the tables, with intra-edges from ten nodes drawn at random to each node."""
    source = Source.open(store, str(class_problem(store)))
    inter = "edges/audio.inter.text.parquet"
    rng = np.random.default_rng(3)
    dst = np.repeat(np.arange(NUM), 10)
    src = np.concatenate([rng.choice(NUM, 10, replace=False) for _ in range(NUM)])
    weight = rng.uniform(0.1, 1, len(src)).astype(np.float32)
    order = np.lexsort((src, dst))
    intra = pa.table({"src": src[order], "dst": dst[order], "weight": weight})
    files = {inter: source.graph.table(inter), "edges/audio.intra.audio.parquet": intra}
    graph = put(store, "graph", "near", files, {"k": 10}, {"features": source.features.ref})
    model = put_model(store, graph, source.features.ref, "near-plus", "plus", 0)

    instances = source.features.table("instances.parquet").to_pylist()
    logits = source.features.arrays("prior.safetensors")["logits"]
    pairs = {(e["src"], e["dst"]) for e in source.graph.table(inter).to_pylist()}
    errors = candidate = right = total = 0
    for number, instance in enumerate(instances):
        if instance["role"] != "test":
            continue
        total += 1
        if logits[number].argmax() == instance["label"]:
            continue
        errors += 1
        candidate += (number, instance["label"]) in pairs
        votes = {}
        for edge in intra.to_pylist():
            sender = instances[edge["src"]]
            if edge["dst"] == number and sender["role"] == "fit":
                votes[sender["label"]] = votes.get(sender["label"], 0) + edge["weight"]
        right += bool(votes) and max(votes, key=votes.get) == instance["label"]
    assert 0 < right < candidate < errors < total
    bound = oracle(Source.open(store, str(model)), SETTINGS)
    expected = OracleBound(total, errors, candidate, right)
    assert bound == expected
    alone = oracle(source, SETTINGS)
    assert alone == OracleBound(total, errors, candidate, 0), "no neighbours, no votes"
