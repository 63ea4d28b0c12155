"""What `eval` refuses to judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rrnet_cli.errors import ArtifactCorruptError, ConfigError, UpstreamError
from rrnet_cli.stages.judging import Source, judge
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
    monkeypatch.setattr("rrnet_cli.stages.train.score", some_scores)
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
