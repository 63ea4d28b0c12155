from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from rrnet_cli.cli import app
from rrnet_cli.errors import ArtifactFormatError, ConfigError, InputError
from rrnet_cli.graphs import approximate, extension
from rrnet_cli.graphs.extension import extend_neighbours as extend
from rrnet_cli.settings import GraphSettings
from rrnet_cli.store.artifact import Artifact
from rrnet_cli.store.reference import Key
from rrnet_cli.store.store import Store
from tests.graphs.test_knn import Notes
from tests.stages.test_build_graph import (
    LABEL_SUMMARY,
    NUM,
    RATING_SUMMARY,
    edges_of,
    label_files,
    rating_files,
    run,
    store,
    store_features,
)

__all__ = ["store"]
SETTINGS = GraphSettings(k_intra=4, k_inter=3)
FIRST = np.setdiff1d(np.arange(NUM), [0, 7, 8, 30, NUM - 1])
"""What the base has: others come before, between and after."""


def arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Those of `label_files`, to be cut and changed."""
    generator = np.random.default_rng(5)
    return {
        "audio": generator.normal(size=(NUM, 8)).astype(np.float32),
        "logits": generator.normal(size=(NUM, 5)).astype(np.float32),
        "id": np.array([f"clip{i}.wav" for i in range(NUM)], dtype=object),
        "label": generator.integers(0, 5, NUM),
        "role": (np.arange(NUM) % 3).astype(np.int8),
    } | changes


def part(rows: np.ndarray, **changes: np.ndarray) -> dict:
    return label_files(**{name: column[rows] for name, column in arrays(**changes).items()})


@pytest.fixture
def base(store: Store) -> Artifact:
    store_features(store, part(FIRST), LABEL_SUMMARY, "first")
    return run(store, SETTINGS, features="first").artifact


def test_the_edges_of_a_search_of_all(store: Store, base: Artifact) -> None:
    store_features(store, part(np.arange(NUM)), LABEL_SUMMARY, "whole")
    full = run(store, SETTINGS, features="whole").artifact
    extended = run(store, SETTINGS, features="whole", base="first").artifact
    assert edges_of(extended) == edges_of(full)
    assert extended.manifest.summary == full.manifest.summary
    assert extended.ref.version != full.ref.version
    assert extended.manifest.inputs["base"] == base.ref
    assert run(store, SETTINGS, features="whole", base="first").cached


def test_upon_what_was_built_upon(store: Store, base: Artifact) -> None:
    store_features(store, part(np.arange(NUM - 1)), LABEL_SUMMARY, "more")
    run(store, SETTINGS, features="more", base="first", name="more")
    store_features(store, part(np.arange(NUM)), LABEL_SUMMARY, "whole")
    extended = run(store, SETTINGS, features="whole", base="more").artifact
    full = run(store, SETTINGS, features="whole").artifact
    assert edges_of(extended) == edges_of(full)


def test_approximate_lists_tell_their_recall(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr(approximate, "LEAST_NODES", 10)
    settings = SETTINGS.model_copy(update={"knn": "approx"})
    store_features(store, part(FIRST), LABEL_SUMMARY, "first")
    run(store, settings, features="first")
    store_features(store, part(np.arange(NUM)), LABEL_SUMMARY, "whole")
    extended = run(store, settings, features="whole", base="first").artifact
    told = extended.manifest.summary["knn"]["audio"]
    assert told["sample"] == NUM // 2
    exact = edges_of(run(store, SETTINGS, features="whole").artifact)["audio.intra.audio"]
    found = edges_of(extended)["audio.intra.audio"]
    pairs, true = (set(zip(t.src, t.dst, strict=True)) for t in (found, exact))
    assert told["recall"] == pytest.approx(len(pairs & true) / len(true), abs=0.1)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"k_intra": 5}, "--k-intra 5: --base was built with 4"),
        ({"metric": "l2"}, "--metric l2: --base was built with cosine"),
        ({"knn": "approx"}, "--knn approx: --base was built with exact"),
        ({"intra": "none"}, "--intra none: --base was built with knn"),
    ],
)
def test_other_settings_are_refused(
    store: Store, base: Artifact, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        run(store, SETTINGS.model_copy(update=changes), features="first", base="first")


def test_what_has_no_neighbours_is_no_base(store: Store) -> None:
    store_features(store, rating_files(), RATING_SUMMARY, "rated")
    links = GraphSettings(intra="links", inter="rated", k_intra_right=0)
    run(store, links, features="rated")
    with pytest.raises(ConfigError, match=r"no nearest neighbours .intra links"):
        run(store, links, features="rated", base="rated")


def test_a_shuffled_graph_is_no_base(store: Store, base: Artifact) -> None:
    shuffled = SETTINGS.model_copy(update={"shuffle_intra": 1})
    run(store, shuffled, features="first", name="mixed")
    with pytest.raises(ConfigError, match="its intra-edges are shuffled"):
        run(store, SETTINGS, features="first", base="mixed")


def test_other_instances_are_refused(store: Store, base: Artifact) -> None:
    changed = arrays()["audio"].copy()
    changed[11, 3] += 1
    backwards = np.concatenate([[2, 1], np.arange(3, NUM)])
    for files, complaint in (
        (part(FIRST[:-2]), f"has no instance 'clip{FIRST[-2]}.wav'"),
        (part(backwards), "has instance 'clip2.wav' at another place"),
        (part(np.arange(NUM), audio=changed), "are not those that graph/first@"),
        (part(np.arange(NUM), audio=changed[:, :7]), "are not those that graph/first@"),
    ):
        store_features(store, files, LABEL_SUMMARY, "other")
        with pytest.raises(InputError, match=complaint):
            run(store, SETTINGS, features="other", base="first")
    store_features(store, part(FIRST), {**LABEL_SUMMARY, "left": "image"}, "other")
    with pytest.raises(InputError, match=r"is of audio, .* of image"):
        run(store, SETTINGS, features="other", base="first")


def test_features_that_were_replaced_are_refused(store: Store, base: Artifact) -> None:
    """The version says what they were made from, not which bits another machine made of it."""
    store_features(store, part(np.arange(NUM)), LABEL_SUMMARY, "whole")
    for rows in (np.arange(NUM), np.arange(len(FIRST))):
        again = store_features(store, part(rows), LABEL_SUMMARY, "first")
        assert again.ref == base.manifest.inputs["features"]
        with pytest.raises(InputError, match="are not those that graph/first@"):
            run(store, SETTINGS, features="whole", base="first")


def test_the_same_command_finds_what_it_made(store: Store, base: Artifact) -> None:
    """Under one name: the newest graph of it is then the result itself."""
    store_features(store, part(np.arange(NUM)), LABEL_SUMMARY, "whole")
    made = run(store, SETTINGS, features="whole", base="first", name="first")
    assert store.resolve("graph", "first").ref == made.artifact.ref
    again = run(store, SETTINGS, features="whole", base="first", name="first")
    assert (made.cached, again.cached) == (False, True)
    assert made.artifact.manifest.inputs["base"] == base.ref


def test_settings_of_another_version_are_said_so(store: Store, base: Artifact) -> None:
    params = {**SETTINGS.recorded(), "unheard_of": 1}
    key = Key(kind="graph", name="old", params=params, inputs=base.manifest.inputs, data=None)
    store.materialise(key, lambda draft: draft.write_table("edges.parquet", pa.table({"a": [1]})))
    with pytest.raises(ArtifactFormatError, match=r"settings that this version .* unheard_of"):
        run(store, SETTINGS, features="first", base="old")


@pytest.mark.parametrize("new", [5, 10])
def test_few_new_nodes_are_added_and_many_are_searched_with_all(
    store: Store, new: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    extended = []
    monkeypatch.setattr(
        extension, "extend_neighbours", lambda *a, **b: extended.append(1) or extend(*a, **b)
    )
    store_features(store, part(np.arange(NUM - new)), LABEL_SUMMARY, "first")
    run(store, SETTINGS, features="first")
    store_features(store, part(np.arange(NUM)), LABEL_SUMMARY, "whole")
    found = run(store, SETTINGS, features="whole", base="first").artifact
    assert edges_of(found) == edges_of(run(store, SETTINGS, features="whole").artifact)
    assert len(extended) == (new == 5)


def test_one_instance_alone_can_be_built_upon(store: Store) -> None:
    store_features(store, part(np.array([3])), LABEL_SUMMARY, "one")
    run(store, SETTINGS, features="one")
    store_features(store, part(np.arange(3, 9)), LABEL_SUMMARY, "six")
    extended = run(store, SETTINGS, features="six", base="one", reporter=Notes()).artifact
    assert edges_of(extended) == edges_of(run(store, SETTINGS, features="six").artifact)


def test_command_line_takes_the_settings_of_the_base(
    store: Store, base: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    store_features(store, part(np.arange(NUM)), LABEL_SUMMARY, "whole")
    line = ["build-graph", "whole", "--base", "first", "--artifacts", str(store.root), "--json"]
    assert app.run(line) == 0
    made = store.resolve("graph", json.loads(capsys.readouterr().out)["artifact"])
    assert made.manifest.params["k_intra"] == 4
    assert made.manifest.params["k_inter"] == 3
    assert app.run([*line, "--k-intra", "5"]) == 2
    assert "Leave --k-intra out to take that of the base" in capsys.readouterr().err
