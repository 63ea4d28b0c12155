from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from rrnet_cli.cli import app
from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.graphs.columns import HOLD, NONE, role_names
from rrnet_cli.graphs.edges import EdgeTable, parse_edge_key
from rrnet_cli.graphs.shuffle import permute_nodes
from rrnet_cli.progress import SilentReporter
from rrnet_cli.settings import GraphSettings
from rrnet_cli.stages.build_graph import build_graph, check_settings, default_settings
from rrnet_cli.store.artifact import Artifact
from rrnet_cli.store.draft import Draft
from rrnet_cli.store.reference import Key
from rrnet_cli.store.store import Outcome, Store
from tests.graphs.test_knn import Notes

NUM, CLASSES = 40, 5
TEXT_FEATURES = np.random.default_rng(1).normal(size=(CLASSES, 3)).astype(np.float32)


def store_features(store: Store, files: dict, summary: dict, name: str = "toy") -> Artifact:
    """Put a features artifact of these files into the store."""

    def build(draft: Draft) -> None:
        for file, content in files.items():
            if isinstance(content, pa.Table):
                draft.write_table(file, content)
            else:
                draft.write_tensors(file, content)
        draft.summary.update(summary)

    key = Key(kind="features", name=name, params={"name": name}, inputs={}, data=None)
    return store.materialise(key, build, force=True).artifact


def label_files(**changes: np.ndarray) -> dict:
    """Classification features as `extract` writes them; arrays given by name replace its own."""
    generator = np.random.default_rng(0)
    arrays = {
        "audio": generator.normal(size=(NUM, 8)).astype(np.float32),
        "text": TEXT_FEATURES,
        "logits": generator.normal(size=(NUM, CLASSES)).astype(np.float32),
        "id": np.array([f"clip{i}.wav" for i in range(NUM)], dtype=object),
        "label": generator.integers(0, CLASSES, NUM),
        "role": (np.arange(NUM) % 3).astype(np.int8),
    } | changes
    return {
        "features.safetensors": {"audio": arrays["audio"], "text": arrays["text"]},
        "prior.safetensors": {"logits": arrays["logits"]},
        "instances.parquet": pa.table(
            {
                "id": pa.array(arrays["id"], pa.string()),
                "label": arrays["label"],
                "role": role_names(arrays["role"]),
            }
        ),
        "labels.parquet": pa.table({"name": [f"label {i}" for i in range(len(arrays["text"]))]}),
    }


LABEL_SUMMARY = {
    "task": "classification",
    "left": "audio",
    "right": "text",
    "recipe": None,
    "dataset": "toy",
    "backbone": "logmel",
}


def rating_files(**changes: np.ndarray) -> dict:
    """Ratings features: 4 users, 3 items, 6 ratings."""
    user = np.array([0, 0, 1, 2, 3, 3])
    item = np.array([0, 1, 1, 2, 0, 2])
    bias = {
        "mu": np.float32([3.0]),
        "user_bias": np.float32([0.5, -0.5, 0, 9]),
        "item_bias": np.float32([0.25, 0, -0.25]),
    }
    predicted = bias["mu"] + bias["user_bias"][user] + bias["item_bias"][item]
    columns = {
        "user": user,
        "item": item,
        "rating": np.float32([4, 3, 2, 1, 5, 4]),
        "prior": np.clip(predicted, 1, 5).astype(np.float32),
        "role": np.int8([0, 1, 0, 2, 0, 2]),
    } | {k: v for k, v in changes.items() if k in ("user", "item", "rating", "prior", "role")}
    links = changes.get("links", np.array([[0, 1, 2], [1, 0, 3]]))
    return {
        "features.safetensors": {
            "user": np.full((4, 2), 0.5, np.float32),
            "item": np.full((3, 2), 0.5, np.float32),
        },
        "ratings.parquet": pa.table(columns | {"role": role_names(columns["role"])}),
        "links.parquet": pa.table({"src": links[0], "dst": links[1]}),
        "baseline.safetensors": bias,
    }


RATING_SUMMARY = {
    "task": "rating",
    "left": "user",
    "right": "item",
    "recipe": None,
    "dataset": "toy",
    "backbone": "rating-bias",
    "scale": [1.0, 5.0],
    "links": 3,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def run(store: Store, settings: GraphSettings, **kwargs: object) -> Outcome:
    arguments = {"features": None, "name": None, "reporter": SilentReporter()} | kwargs
    return build_graph(settings, store=store, **arguments)


def edges_of(artifact: Artifact) -> dict[str, EdgeTable]:
    keys = [f.removeprefix("edges/").removesuffix(".parquet") for f in artifact.manifest.files]
    return {
        key: EdgeTable.from_arrow(artifact.table(f"edges/{key}.parquet"), parse_edge_key(key))
        for key in keys
    }


def test_classification(store: Store) -> None:
    files = label_files()
    source = store_features(store, files, LABEL_SUMMARY)
    outcome = run(store, GraphSettings(k_intra=4, k_intra_right=2, k_inter=3))
    assert not outcome.cached
    assert outcome.artifact.ref.name == "toy"
    assert outcome.artifact.manifest.inputs["features"] == source.ref
    edges = edges_of(outcome.artifact)
    assert {key: len(table) for key, table in edges.items()} == {
        "audio.intra.audio": NUM * 4,
        "text.intra.text": CLASSES * 2,
        "audio.inter.text": NUM * 3,
    }
    inter = edges["audio.inter.text"]
    logits = files["prior.safetensors"]["logits"]
    for node in range(NUM):
        candidates = set(np.argsort(-logits[node])[:3])
        assert set(inter.dst[inter.src == node]) == candidates
    labels, roles = np.array(files["instances.parquet"]["label"]), np.arange(NUM) % 3
    expected = np.where(roles[inter.src] == 2, np.nan, labels[inter.src] == inter.dst)
    np.testing.assert_array_equal(inter["target"], expected.astype(np.float32))
    np.testing.assert_array_equal(inter["role"], roles[inter.src])
    summary = outcome.artifact.manifest.summary
    assert {key: summary[key] for key in LABEL_SUMMARY} == LABEL_SUMMARY
    assert summary["statistics"]["nodes"] == {"audio": NUM, "text": CLASSES}
    assert 0 <= summary["statistics"]["recall"]["audio.inter.text"]["fit"] <= 1


def test_held_instances_keep_role_and_target(store: Store) -> None:
    roles = (np.arange(NUM) % 4).astype(np.int8)
    store_features(store, label_files(role=roles), LABEL_SUMMARY)
    artifact = run(store, GraphSettings(k_inter=3)).artifact
    inter = edges_of(artifact)["audio.inter.text"]
    held = inter["role"] == HOLD
    np.testing.assert_array_equal(held, roles[inter.src] == 3)
    labels = np.array(label_files()["instances.parquet"]["label"])
    np.testing.assert_array_equal(inter["target"][held], (labels[inter.src] == inter.dst)[held])
    recall = artifact.manifest.summary["statistics"]["recall"]["audio.inter.text"]
    found = inter.src[held & (inter["target"] == 1)]
    assert recall["hold"] == len(found) / (NUM // 4)


def test_held_ratings_keep_role_and_target(store: Store) -> None:
    store_features(store, rating_files(role=np.int8([0, 1, 3, 2, 0, 3])), RATING_SUMMARY)
    for inter in ("rated", "all"):
        table = edges_of(run(store, GraphSettings(intra="none", inter=inter)).artifact)[
            "user.inter.item"
        ]
        assert table["target"][table["role"] == HOLD].tolist() == [2, 4]


def test_same_settings_are_cached_and_others_are_not(store: Store) -> None:
    store_features(store, label_files(), LABEL_SUMMARY)
    first = run(store, GraphSettings(k_intra=3))
    assert run(store, GraphSettings(k_intra=3)).cached
    assert run(store, GraphSettings(k_intra=3), name="other").artifact.ref.name == "other"
    assert not run(store, GraphSettings(k_intra=3), force=True).cached
    versions = {first.artifact.ref.version}
    for change in (
        {"k_intra": 4},
        {"k_inter": 2},
        {"k_intra_right": 1},
        {"metric": "l2"},
        {"intra": "none"},
        {"inter": "all"},
        {"knn": "approx"},
    ):
        outcome = run(store, GraphSettings(**({"k_intra": 3} | change)))
        assert not outcome.cached
        versions.add(outcome.artifact.ref.version)
    assert len(versions) == 8


def test_auto_is_recorded_as_what_it_comes_to(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_features(store, label_files(), LABEL_SUMMARY)
    exact = run(store, GraphSettings(k_intra=3)).artifact.ref
    assert "knn" not in store.resolve("graph", str(exact)).manifest.params
    monkeypatch.setattr("rrnet_cli.stages._neighbours.AUTO_NODES", NUM)
    small = run(store, GraphSettings(k_intra=3, knn="auto"))
    assert small.cached and small.artifact.ref == exact
    monkeypatch.setattr("rrnet_cli.stages._neighbours.AUTO_NODES", NUM - 1)
    large = run(store, GraphSettings(k_intra=3, knn="auto"))
    assert large.artifact.manifest.params["knn"] == "approx"
    assert run(store, GraphSettings(k_intra=3, knn="approx")).cached
    nobody = run(store, GraphSettings(intra="none", knn="auto"))
    assert "knn" not in nobody.artifact.manifest.params


def test_auto_looks_at_both_sides(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """More labels than instances; those count only where they have neighbours."""
    text = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    logits = np.random.default_rng(2).normal(size=(NUM, 60)).astype(np.float32)
    store_features(store, label_files(text=text, logits=logits), LABEL_SUMMARY)
    monkeypatch.setattr("rrnet_cli.stages._neighbours.AUTO_NODES", 50)
    for k_right, searched in ((2, "approx"), (0, None)):
        outcome = run(store, GraphSettings(knn="auto", k_intra_right=k_right))
        assert outcome.artifact.manifest.params.get("knn") == searched


def test_approximate_neighbours_and_their_recall(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    monkeypatch.setattr("rrnet_cli.graphs.approximate.LEAST_NODES", NUM)
    store_features(store, label_files(), LABEL_SUMMARY)
    notes = Notes()
    exact = run(store, GraphSettings(k_intra=3)).artifact
    approx = run(store, GraphSettings(k_intra=3, knn="approx"), reporter=notes).artifact
    assert "knn" not in exact.manifest.summary
    told = approx.manifest.summary["knn"]
    assert set(told) == {"audio"}  # five labels are searched exactly
    assert told["audio"]["sample"] == NUM // 2 and told["audio"]["probes"] == 4
    assert 0.3 < told["audio"]["recall"] <= 1
    assert [line.partition(",")[0] for line in notes.lines[:1]] == ["audio: approximate search"]
    found, wanted = (edges_of(artifact) for artifact in (approx, exact))
    assert found["text.intra.text"].src.tolist() == wanted["text.intra.text"].src.tolist()
    near, nearest = found["audio.intra.audio"], wanted["audio.intra.audio"]
    assert np.bincount(near.dst).tolist() == [3] * NUM
    pairs = set(zip(nearest.src, nearest.dst, strict=True))
    shared = len(pairs & set(zip(near.src, near.dst, strict=True)))
    assert shared / len(pairs) == pytest.approx(told["audio"]["recall"], abs=0.2)


@pytest.mark.parametrize(
    ("files", "summary", "settings", "sides"),
    [
        (label_files(), LABEL_SUMMARY, {"k_intra": 3}, ("audio", "text")),
        (rating_files(), RATING_SUMMARY, {"intra": "links", "inter": "rated"}, ("user",)),
    ],
    ids=["knn", "links"],
)
def test_shuffled_intra_edges(
    store: Store, files: dict, summary: dict, settings: dict, sides: tuple[str, ...]
) -> None:
    store_features(store, files, summary)
    real = run(store, GraphSettings(**settings)).artifact
    control = run(store, GraphSettings(**settings, shuffle_intra=0)).artifact
    assert (real.ref.name, control.ref.name) == ("toy", "toy-shuffled0")
    assert store.resolve("graph", "toy").ref == real.ref
    ours, theirs = edges_of(control), edges_of(real)
    for side in sides:
        key = f"{side}.intra.{side}"
        assert ours.pop(key) == permute_nodes(theirs.pop(key), 0)
    assert ours == theirs


def test_without_shuffling_a_graph_keeps_the_version_that_it_had_before(store: Store) -> None:
    source = store_features(store, label_files(), LABEL_SUMMARY)
    params = {
        "intra": "knn",
        "k_intra": 3,
        "k_intra_right": 2,
        "metric": "cosine",
        "inter": "topk",
        "k_inter": 20,
    }
    inputs = {"features": source.ref}
    before = Key(kind="graph", name="toy", params=params, inputs=inputs, data=None)
    plain, zero, one = (
        run(store, GraphSettings(k_intra=3, shuffle_intra=seed), name="toy").artifact.ref.version
        for seed in (None, 0, 1)
    )
    assert plain == before.version
    assert len({plain, zero, one}) == 3


def test_labels_of_test_instances_change_no_byte(store: Store) -> None:
    files = label_files()
    labels = np.array(files["instances.parquet"]["label"])
    shuffled = np.where(np.arange(NUM) % 3 == 2, (labels + 1) % CLASSES, labels)
    graphs = []
    for name, given in (("a", labels), ("b", shuffled)):
        store_features(store, label_files(label=given), LABEL_SUMMARY, name)
        graphs.append(run(store, GraphSettings(k_inter=2), features=name).artifact.manifest)
    assert {n: f.sha256 for n, f in graphs[0].files.items()} == {
        n: f.sha256 for n, f in graphs[1].files.items()
    }
    assert graphs[0].summary == graphs[1].summary


def test_absent_sides_have_no_file(store: Store) -> None:
    store_features(store, label_files(), LABEL_SUMMARY)
    some = run(store, GraphSettings(k_intra_right=0, inter="all"))
    assert set(edges_of(some.artifact)) == {"audio.intra.audio", "audio.inter.text"}
    assert len(edges_of(some.artifact)["audio.inter.text"]) == NUM * CLASSES
    none = run(store, GraphSettings(intra="none"))
    assert set(edges_of(none.artifact)) == {"audio.inter.text"}


def test_clamps_are_noted(store: Store) -> None:
    store_features(store, label_files(), LABEL_SUMMARY)
    notes = Notes()
    run(store, GraphSettings(k_intra=99, k_intra_right=9, k_inter=20), reporter=notes)
    assert notes.lines == [
        "audio: k = 99 clamped to 39, there are 40 nodes",
        "text: k = 9 clamped to 4, there are 5 nodes",
        "candidates: k = 20 clamped to 5, there are 5 labels",
    ]


def test_rated_pairs_and_links(store: Store) -> None:
    store_features(store, rating_files(), RATING_SUMMARY)
    outcome = run(store, GraphSettings(intra="links", inter="rated"))
    edges = edges_of(outcome.artifact)
    assert set(edges) == {"user.intra.user", "user.inter.item"}
    links = edges["user.intra.user"]
    assert list(zip(links.src, links.dst, strict=True)) == [(1, 0), (0, 1), (3, 2), (2, 3)]
    inter = edges["user.inter.item"]
    assert list(zip(inter.src, inter.dst, strict=True)) == [
        (0, 0),
        (3, 0),
        (0, 1),
        (1, 1),
        (2, 2),
        (3, 2),
    ]
    np.testing.assert_array_equal(inter["target"], [4, 5, 3, 2, np.nan, np.nan])
    assert "recall" not in outcome.artifact.manifest.summary["statistics"]


def test_all_pairs_have_the_prior_of_the_bias_model(store: Store) -> None:
    files = rating_files()
    store_features(store, files, RATING_SUMMARY)
    table = edges_of(run(store, GraphSettings(intra="none", inter="all")).artifact)[
        "user.inter.item"
    ]
    bias = files["baseline.safetensors"]
    for row in range(12):
        user, item = table.src[row], table.dst[row]
        wanted = min(5.0, 3.0 + bias["user_bias"][user] + bias["item_bias"][item])
        assert table["prior"][row] == wanted
    assert (table["role"] == NONE).sum() == 6
    assert np.isfinite(table["target"]).sum() == 4


def test_all_pairs_have_the_prior_of_the_factors_too(store: Store) -> None:
    files = rating_files()
    rng = np.random.default_rng(0)
    user_factors, item_factors = rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
    bias = files["baseline.safetensors"]
    files["baseline.safetensors"] = bias | {
        "user_factors": user_factors, "item_factors": item_factors
    }  # fmt: skip
    store_features(store, files, RATING_SUMMARY | {"backbone": "rating-factors"})
    table = edges_of(run(store, GraphSettings(intra="none", inter="all")).artifact)[
        "user.inter.item"
    ]
    unrated = np.flatnonzero(table["role"] == NONE)
    assert len(unrated) == 6
    for row in unrated:
        user, item = table.src[row], table.dst[row]
        biases = 3.0 + bias["user_bias"][user] + bias["item_bias"][item]
        wanted = np.clip(biases + user_factors[user] @ item_factors[item], 1.0, 5.0)
        np.testing.assert_allclose(table["prior"][row], wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "summary", "message", "hint"),
    [
        ({"inter": "rated"}, RATING_SUMMARY, "--intra knn", "--intra links or --intra none"),
        ({"intra": "none"}, RATING_SUMMARY, "--inter topk", "--inter rated or --inter all"),
        (
            {"intra": "links", "inter": "rated"},
            RATING_SUMMARY | {"links": 0},
            "no social links",
            "--intra none",
        ),
        (
            {"intra": "none", "inter": "rated", "shuffle_intra": 0},
            RATING_SUMMARY,
            "--shuffle-intra",
            "--intra knn or --intra links",
        ),
        (
            {"intra": "links", "inter": "rated", "knn": "approx"},
            RATING_SUMMARY,
            "--knn approx",
            "leave --knn out",
        ),
        ({"intra": "links"}, LABEL_SUMMARY, "--intra links", "--intra knn or --intra none"),
        ({"inter": "rated"}, LABEL_SUMMARY, "--inter rated", "--inter topk or --inter all"),
    ],
)
def test_impossible_settings(settings: dict, summary: dict, message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_settings(GraphSettings(**settings), summary)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("summary", [LABEL_SUMMARY, RATING_SUMMARY, RATING_SUMMARY | {"links": 0}])
def test_defaults_without_a_recipe_are_possible(summary: dict) -> None:
    check_settings(default_settings(summary), summary)


def spoilt(array: np.ndarray, row: int, value: float) -> np.ndarray:
    array = array.copy()
    array[row] = value
    return array


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": spoilt(np.zeros((NUM, 8), np.float32), 7, np.nan)}, "features of audio, row 7"),
        ({"text": spoilt(TEXT_FEATURES, 3, np.inf)}, "features of text, row 3"),
        ({"logits": spoilt(np.zeros((NUM, 5), np.float32), 9, np.nan)}, "prior logits, row 9"),
        ({"audio": np.zeros((39, 8), np.float32)}, "39 features of audio, but prior logits"),
        ({"logits": np.zeros((NUM, 4), np.float32)}, r"5 labels, but prior logits of shape"),
        ({"label": spoilt(np.zeros(NUM, np.int64), 4, 5)}, r"'label', row 4: 5 is not in 0\.\.4"),
        ({"label": spoilt(np.zeros(NUM, np.int64), 4, -1)}, "'label', row 4: -1"),
        ({"label": np.zeros(NUM, np.int32)}, "column 'label' is int32, not int64"),
        ({"role": np.full(NUM, 2, np.int8)}, "has the role fit"),
        ({"role": spoilt(np.zeros(NUM, np.int8), 6, NONE)}, "column 'role', row 6: none"),
        (
            {"id": np.array(["a", "b", "a", *map(str, range(37))], dtype=object)},
            "column 'id', row 2: 'a' is there twice",
        ),
        (
            {
                "text": TEXT_FEATURES[:1],
                "logits": np.zeros((NUM, 1), np.float32),
                "label": np.zeros(NUM, np.int64),
            },
            "1 label only",
        ),
    ],
)
def test_bad_classification_features(store: Store, changes: dict, message: str) -> None:
    store_features(store, label_files(**changes), LABEL_SUMMARY)
    with pytest.raises(InputError, match=message):
        run(store, GraphSettings(k_intra=2))
    assert not list(store.root.glob("graph/*/*/manifest.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user": np.array([0, 0, 1, 2, 4, 3])}, r"column 'user', row 4: 4 is not in 0\.\.3"),
        ({"item": np.array([0, -1, 1, 2, 0, 2])}, "column 'item', row 1: -1"),
        ({"item": np.array([0, 0, 1, 2, 0, 2])}, "edge 0 -> 0 is there twice"),
        ({"prior": np.float32([1, 2, np.nan, 1, 1, 1])}, "column 'prior', row 2: NaN"),
        ({"rating": np.float32([1, 2, np.nan, 1, 1, 1])}, "column 'rating', row 2: NaN"),
        ({"role": np.full(6, 1, np.int8)}, "has the role fit"),
        ({"links": np.array([[0, 1], [1, 4]])}, "links: column 'dst', row 1: id 4"),
    ],
)
def test_bad_rating_features(store: Store, changes: dict, message: str) -> None:
    store_features(store, rating_files(**changes), RATING_SUMMARY)
    with pytest.raises(InputError, match=message):
        run(store, GraphSettings(intra="links", inter="rated"))


def test_all_pairs_have_a_limit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rrnet_cli.stages.build_graph.MAX_PAIRS", 11)
    store_features(store, rating_files(), RATING_SUMMARY)
    with pytest.raises(ConfigError, match="4 users times 3 items are more than 11 edges"):
        run(store, GraphSettings(intra="none", inter="all"))


def test_splits_without_select_or_test_are_noted(store: Store) -> None:
    store_features(store, label_files(role=np.zeros(NUM, np.int8)), LABEL_SUMMARY)
    notes = Notes()
    run(store, GraphSettings(k_intra=2, k_inter=2), reporter=notes)
    assert notes.lines == [
        "none of the 40 instances has the role select",
        "none of the 40 instances has the role test",
    ]


class TestCommand:
    """`rrnet build-graph`, in this process."""

    def rrnet(self, store: Store, *words: str) -> int:
        return app.run(["build-graph", *words, "--artifacts", str(store.root)])

    def test_reference_on_stdout_statistics_on_stderr(
        self, store: Store, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store_features(store, label_files(), LABEL_SUMMARY)
        assert self.rrnet(store, "--k-intra", "3", "--k-inter", "2") == 0
        out, err = capsys.readouterr()
        ref = str(store.resolve("graph", None).ref)
        assert out.strip() == ref
        assert "40 audio nodes, 5 text nodes" in err
        assert "audio.intra.audio" in err and "120" in err
        assert "the label is among the candidates" in err
        assert self.rrnet(store, "--k-intra", "3", "--k-inter", "2", "--json") == 0
        out, err = capsys.readouterr()
        document = json.loads(out)
        assert (document["artifact"], document["cached"]) == (ref, True)
        assert document["summary"]["statistics"]["edges"]["audio.inter.text"] == 80
        assert self.rrnet(store, "--k-intra", "3", "--k-inter", "2", "--quiet") == 0
        assert capsys.readouterr() == (f"{ref}\n", "")

    def test_defaults_come_from_the_recipe(self, store: Store) -> None:
        store_features(store, label_files(), LABEL_SUMMARY | {"recipe": "esc10"})
        assert self.rrnet(store, "--set", "k_inter=2") == 0
        params = store.resolve("graph", None).manifest.params
        assert (params["k_intra"], params["k_inter"]) == (5, 2)

    def test_defaults_of_ratings(self, store: Store) -> None:
        store_features(store, rating_files(), RATING_SUMMARY)
        assert self.rrnet(store) == 0
        params = store.resolve("graph", None).manifest.params
        assert (params["intra"], params["inter"]) == ("links", "rated")

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            (["--k-intra", "0"], 2, "k_intra"),
            (["--k-inter", "-1"], 2, "k_inter"),
            (["--metric", "hamming"], 2, "metric"),
            (["--knn", "fast"], 2, "knn"),
            (["--knn", "approx", "--intra", "none"], 2, "--knn approx"),
            (["--set", "k_intr=3"], 2, "did you mean `k_intra`?"),
            (["--intra", "links"], 2, "--intra links"),
            (["nothing"], 4, "nothing"),
        ],
    )
    def test_refusals(
        self,
        store: Store,
        capsys: pytest.CaptureFixture[str],
        words: list[str],
        code: int,
        message: str,
    ) -> None:
        store_features(store, label_files(), LABEL_SUMMARY)
        assert self.rrnet(store, *words) == code
        out, err = capsys.readouterr()
        assert out == "" and message in err and "Traceback" not in err
        assert not list(store.root.glob("graph/*/*/manifest.json"))

    def test_approximate_neighbours(
        self,
        store: Store,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        pytest.importorskip("faiss")
        monkeypatch.setattr("rrnet_cli.graphs.approximate.LEAST_NODES", NUM)
        store_features(store, label_files(), LABEL_SUMMARY)
        assert self.rrnet(store, "--knn", "approx", "--json") == 0
        out, err = capsys.readouterr()
        told = json.loads(out)["summary"]["knn"]["audio"]
        assert told["sample"] == NUM // 2
        assert f"{told['recall']:.1%} of the exact neighbours of 20 sampled nodes found" in err
        assert f"audio: approximate neighbours, {told['recall']:.1%} of the exact" in err

    def test_approximate_neighbours_without_the_library(
        self,
        store: Store,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setitem(sys.modules, "faiss", None)  # import faiss: ImportError
        monkeypatch.setattr("rrnet_cli.graphs.approximate.LEAST_NODES", NUM)
        store_features(store, label_files(), LABEL_SUMMARY)
        assert self.rrnet(store, "--knn", "approx") == 7
        out, err = capsys.readouterr()
        assert out == "" and "faiss-cpu" in err and "rrnet[knn]" in err
        assert "Traceback" not in err
        assert not list(store.root.glob("graph/*/*/manifest.json"))
        assert self.rrnet(store, "--knn", "auto") == 0  # few nodes: exact, without it

    @pytest.mark.parametrize("file", ["features.safetensors", "instances.parquet"])
    def test_damaged_features(
        self, store: Store, capsys: pytest.CaptureFixture[str], file: str
    ) -> None:
        path = store_features(store, label_files(), LABEL_SUMMARY).path / file
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        assert self.rrnet(store) == 5
        assert file in capsys.readouterr().err
        shutil.rmtree(path.parent)
        assert self.rrnet(store) == 4
