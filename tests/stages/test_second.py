from __future__ import annotations

import numpy as np
import pytest

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.settings import GraphSettings
from rrnet_cli.stages._second import left_features
from rrnet_cli.store.artifact import Artifact
from rrnet_cli.store.store import Store
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
OTHER = np.random.default_rng(7).normal(size=(NUM, 6)).astype(np.float32)


@pytest.fixture
def first(store: Store) -> Artifact:
    return store_features(store, label_files(), LABEL_SUMMARY, "first")


def second(store: Store, **changes: np.ndarray) -> Artifact:
    logits = np.random.default_rng(8).normal(size=(NUM, 5)).astype(np.float32)
    files = label_files(**{"audio": OTHER, "logits": logits} | changes)
    return store_features(store, files, LABEL_SUMMARY, "second")


def test_near_by_the_second_candidates_by_the_first(store: Store, first: Artifact) -> None:
    other = second(store)
    graph = run(store, SETTINGS, features="first", neighbours="second").artifact
    assert graph.ref.name == "first-near-second"
    assert graph.manifest.inputs == {"features": first.ref, "neighbours": other.ref}
    edges = edges_of(graph)
    by_first = edges_of(run(store, SETTINGS, features="first").artifact)
    by_second = edges_of(run(store, SETTINGS, features="second").artifact)
    assert edges["audio.intra.audio"] == by_second["audio.intra.audio"]
    assert edges["audio.intra.audio"] != by_first["audio.intra.audio"]
    for key in ("audio.inter.text", "text.intra.text"):
        assert edges[key] == by_first[key]
    assert edges["audio.inter.text"] != by_second["audio.inter.text"]


def test_the_control_keeps_a_name_of_its_own(store: Store, first: Artifact) -> None:
    second(store)
    settings = SETTINGS.model_copy(update={"shuffle_intra": 3})
    graph = run(store, settings, features="first", neighbours="second").artifact
    assert graph.ref.name == "first-near-second-shuffled3"


def test_what_is_known_of_the_left_nodes(store: Store, first: Artifact) -> None:
    second(store)
    own = first.arrays("features.safetensors")["audio"]
    plain = run(store, SETTINGS, features="first").artifact
    both = run(store, SETTINGS, features="first", neighbours="second").artifact
    np.testing.assert_array_equal(left_features(first, plain, store), own)
    np.testing.assert_array_equal(left_features(first, both, store), np.hstack([own, OTHER]))


ROLES = (np.arange(NUM) % 3).astype(np.int8)
ROLES[3] = 2  # fitted in the first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": ROLES}, "row 3: another role: its baseline may have seen what is to be"),
        (
            {"id": np.array([f"clip{i}.wav" for i in range(NUM)][::-1], dtype=object)},
            "row 0: another instance",
        ),
        ({"label": np.zeros(NUM, np.int64)}, "another label"),
    ],
)
def test_other_instances_are_refused(
    store: Store, first: Artifact, changes: dict[str, np.ndarray], message: str
) -> None:
    second(store, **changes)
    with pytest.raises(InputError, match=message):
        run(store, SETTINGS, features="first", neighbours="second")


def test_fewer_instances_are_refused(store: Store, first: Artifact) -> None:
    files = label_files()
    fewer = {
        name: files["instances.parquet"][name].to_numpy(zero_copy_only=False)[:-1]
        for name in ("id", "label")
    }
    second(
        store,
        audio=OTHER[:-1],
        role=(np.arange(NUM - 1) % 3).astype(np.int8),
        logits=np.zeros((NUM - 1, 5), np.float32),
        **fewer,
    )
    with pytest.raises(InputError, match="39 rows for 40: another instance"):
        run(store, SETTINGS, features="first", neighbours="second")


def test_other_modalities_are_refused(store: Store, first: Artifact) -> None:
    store_features(store, rating_files(), RATING_SUMMARY, "ratings")
    with pytest.raises(InputError, match=r"ratings@\w+ is of user, features.first@\w+ of audio"):
        run(store, SETTINGS, features="first", neighbours="ratings")


def test_there_must_be_a_search(store: Store, first: Artifact) -> None:
    second(store)
    settings = SETTINGS.model_copy(update={"intra": "none"})
    with pytest.raises(ConfigError, match="no nearest neighbours to search"):
        run(store, settings, features="first", neighbours="second")


def test_known_neighbours_are_of_other_features(store: Store, first: Artifact) -> None:
    second(store)
    run(store, SETTINGS, features="first", name="base")
    with pytest.raises(ConfigError, match="exclude each other"):
        run(store, SETTINGS, features="first", neighbours="second", base="base")
