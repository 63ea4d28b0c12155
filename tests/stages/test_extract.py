"""Stage `extract` on generated data: files, versions, leakage, errors."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.features.linear import top1
from rrnet_cli.progress import SilentReporter
from rrnet_cli.recipes import load_recipe
from rrnet_cli.settings import (
    BaselineSettings,
    DataSettings,
    ExtractSettings,
    GraphSettings,
    TextSettings,
    TrainSettings,
)
from rrnet_cli.stages import extract as stage
from rrnet_cli.stages._problem import load_problem
from rrnet_cli.stages.build_graph import build_graph
from rrnet_cli.store.store import Store

FIT, SELECT, TEST = 0, 1, 2
RATE = 8000


def write_vectors(path, words):
    rng = np.random.default_rng(0)
    rows = (f"{word} {' '.join(f'{x:.3f}' for x in rng.normal(size=4))}" for word in words)
    path.write_text(f"{len(words)} 4\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def vectors(tmp_path):
    words = ("clock", "tick", "dog", "zero", "one", "two", "three", "four", "five", "six")
    return write_vectors(tmp_path / "words.txt", (*words, "seven", "eight", "nine"))


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """The ESC layout: 2 classes, 3 folds, 4 clips each, told apart by their pitch."""
    root = tmp_path_factory.mktemp("esc")
    (root / "meta").mkdir()
    (root / "audio").mkdir()
    rng = np.random.default_rng(0)
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for target, (category, pitch) in enumerate((("dog", 300), ("clock_tick", 1500))):
        for fold in (1, 2, 3):
            for take in range(4):
                name = f"{fold}-{target}-{take}.wav"
                time = np.arange(RATE // 4) / RATE
                clip = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.02 * rng.normal(size=len(time))
                soundfile.write(root / "audio" / name, clip, RATE, subtype="PCM_16")
                rows.append(f"{name},{fold},{target},{category},True,{fold}{target}{take},A")
    (root / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="session")
def ratings(tmp_path_factory):
    root = tmp_path_factory.mktemp("ratings")
    rng = np.random.default_rng(0)
    pairs = rng.permutation(20 * 15)[:200]
    rows = [f"{p // 15 + 1} {p % 15 + 1} {rng.integers(1, 6)}" for p in pairs]
    (root / "ratings.txt").write_text("\n".join(rows) + "\n")
    links = [f"{a} {b} 1" for a, b in ((1, 2), (2, 1), (3, 7), (9, 4))]
    (root / "trust.txt").write_text("\n".join(links) + "\n")
    return root


def sound_settings(vectors, **data) -> ExtractSettings:
    return ExtractSettings(
        data=DataSettings(layout="esc", fold=2, val_fraction=0.25, **data),
        baseline=BaselineSettings(backbone="logmel"),
        text=TextSettings(vectors=str(vectors)),
    )


def rating_settings(**baseline) -> ExtractSettings:
    return ExtractSettings(
        data=DataSettings(layout="ratings", rating_min=1, rating_max=5),
        baseline=BaselineSettings(backbone="rating-bias", **baseline),
    )


def run(store, settings, data, **options):
    options = {"name": None, "recipe": None, "reporter": SilentReporter(), **options}
    return stage.extract(settings, store=store, data=data, **options)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "artifacts")


def test_sound(store, sounds, vectors):
    outcome = run(store, sound_settings(vectors), sounds, recipe="esc10")
    artifact = outcome.artifact
    assert not outcome.cached
    assert artifact.ref.name == "esc10-logmel-fold2"
    instances = artifact.table("instances.parquet").to_pydict()
    assert len(instances["id"]) == 24
    for name, role in zip(instances["id"], instances["role"], strict=True):
        assert (role == "test") == name.startswith("audio/2-")
    features = artifact.arrays("features.safetensors")
    assert {name: (a.shape, str(a.dtype)) for name, a in features.items()} == {
        "audio": ((24, 420), "float32"),
        "text": ((2, 4), "float32"),
    }
    logits = artifact.arrays("prior.safetensors")["logits"]
    assert logits.shape == (24, 2)
    assert (logits.argmax(1) == instances["label"]).all()  # pitches are easily told apart
    assert artifact.table("labels.parquet").to_pydict() == {"name": ["dog", "clock tick"]}
    weights = artifact.arrays("baseline.safetensors")
    again = features["audio"] @ weights["coef"].T + weights["intercept"]
    np.testing.assert_allclose(again, logits, atol=1e-3)
    summary = artifact.manifest.summary
    assert summary["instances"] == {"fit": 12, "select": 4, "test": 8}
    assert (summary["left"], summary["right"], summary["classes"]) == ("audio", "text", 2)
    assert summary["dims"] == {"audio": 420, "text": 4}
    assert summary["recipe"] == "esc10"
    assert summary["baseline"]["fit_top1"] == 100.0
    assert "test" not in json.dumps(summary["baseline"])


def test_digits(store, vectors):
    recipe = load_recipe("digits").extract
    settings = recipe.model_copy(
        update={
            "text": TextSettings(vectors=str(vectors)),
            "data": recipe.data.model_copy(update={"limit": 20}),
        }
    )
    artifact = run(store, settings, None, recipe="digits").artifact
    features = artifact.arrays("features.safetensors")
    assert features["image"].shape[1] == 64
    assert features["text"].shape == (10, 4)
    columns = artifact.table("instances.parquet").to_pydict()
    roles = np.array([("fit", "select", "test").index(role) for role in columns["role"]], np.int8)
    scores = top1(artifact.arrays("prior.safetensors")["logits"], np.array(columns["label"]), roles)
    assert artifact.manifest.summary["baseline"]["select_top1"] == scores["select_top1"]
    assert scores["select_top1"] > 80


def test_ratings(store, ratings):
    artifact = run(store, rating_settings(), ratings).artifact
    table = artifact.table("ratings.parquet").to_pydict()
    assert len(table["user"]) == 200
    pairs = list(zip(table["user"], table["item"], strict=True))
    assert pairs == sorted(set(pairs))
    features = artifact.arrays("features.safetensors")
    assert features["user"].shape == (20, 128)
    assert features["item"].shape == (15, 128)
    assert not np.array_equal(features["user"][:15], features["item"])
    model = artifact.arrays("baseline.safetensors")
    user, item = np.array(table["user"]), np.array(table["item"])
    prior = np.clip(model["mu"] + model["user_bias"][user] + model["item_bias"][item], 1, 5)
    np.testing.assert_allclose(prior, table["prior"], atol=1e-6)
    links = artifact.table("links.parquet").to_pydict()
    assert sorted(zip(links["src"], links["dst"], strict=True)) == [(0, 1), (1, 0), (2, 6), (8, 3)]
    users = artifact.table("users.parquet").to_pydict()
    assert users["id"][:3] == ["1", "2", "3"]
    summary = artifact.manifest.summary
    assert summary["scale"] == [1.0, 5.0]
    assert summary["ratings"] == {"fit": 160, "select": 20, "test": 20}
    assert set(summary["baseline"]) == {
        "user_reg", "item_reg", "fit_mae", "fit_rmse", "select_mae", "select_rmse"
    }  # fmt: skip


def test_test_ratings_do_not_reach_the_prior(store, ratings, tmp_path):
    first = run(store, rating_settings(user_reg=3.0, item_reg=3.0), ratings).artifact
    table = first.table("ratings.parquet").to_pydict()
    hidden = {
        (u + 1, i + 1)
        for u, i, role in zip(table["user"], table["item"], table["role"], strict=True)
        if role == "test"
    }
    changed = tmp_path / "changed"
    changed.mkdir()
    rows = []
    for line in (ratings / "ratings.txt").read_text().splitlines():
        user, item, rating = line.split()
        flipped = str(6 - int(rating)) if (int(user), int(item)) in hidden else rating
        rows.append(f"{user} {item} {flipped}")
    assert rows != (ratings / "ratings.txt").read_text().splitlines()
    (changed / "ratings.txt").write_text("\n".join(rows) + "\n")
    second = run(store, rating_settings(user_reg=3.0, item_reg=3.0), changed).artifact
    assert second.table("ratings.parquet")["prior"].to_pylist() == table["prior"]


def test_second_run_is_cached_from_anywhere_and_forced_run_is_not(store, sounds, vectors, tmp_path):
    import shutil

    first = run(store, sound_settings(vectors), sounds, name="x")
    moved, elsewhere = tmp_path / "moved", tmp_path / "other-words.vec"
    shutil.copytree(sounds, moved)
    elsewhere.write_bytes(vectors.read_bytes())
    second = run(store, sound_settings(elsewhere), moved, name="x")
    assert second.cached
    assert second.artifact.ref == first.artifact.ref
    forced = run(store, sound_settings(vectors), sounds, name="x", force=True)
    assert not forced.cached
    assert forced.artifact.ref == first.artifact.ref


def test_versions_follow_content(store, sounds, vectors, tmp_path):
    base = run(store, sound_settings(vectors), sounds, name="x").artifact.ref.version
    longer = write_vectors(tmp_path / "more.txt", ("clock", "tick", "dog", "cat"))
    others = [
        run(store, sound_settings(longer), sounds, name="x"),
        run(store, sound_settings(vectors, split_seed=1), sounds, name="x"),
    ]
    versions = {base, *(outcome.artifact.ref.version for outcome in others)}
    assert len(versions) == 3


def test_manifest_holds_no_path(store, sounds, vectors, tmp_path):
    artifact = run(store, sound_settings(vectors), sounds).artifact
    text = (artifact.path / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert str(sounds) not in text
    assert artifact.manifest.summary["word_vectors"] == "words.txt"


def test_unknown_label_word_leaves_nothing(store, sounds, tmp_path):
    few = write_vectors(tmp_path / "few.txt", ("clock", "dog"))
    with pytest.raises(InputError, match="the word vectors lack 'tick'"):
        run(store, sound_settings(few), sounds)
    assert not list(store.root.glob("features/*/*/manifest.json"))
    settings = sound_settings(few)
    allowed = settings.model_copy(
        update={"text": settings.text.model_copy(update={"oov": "skip-word"})}
    )
    assert run(store, allowed, sounds).artifact.manifest.summary["classes"] == 2


def test_unreadable_clip(store, sounds, vectors, tmp_path):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(sounds, broken)
    (broken / "audio" / "1-0-0.wav").write_text("not a sound")
    settings = sound_settings(vectors)
    with pytest.raises(InputError, match=r"1-0-0\.wav"):
        run(store, settings, broken)
    outcome = run(store, settings, broken, on_error="skip")
    assert outcome.artifact.manifest.summary["skipped"] == 1
    assert list(outcome.artifact.json("skipped.json")) == ["audio/1-0-0.wav"]
    assert run(store, settings, broken, on_error="skip").cached
    with pytest.raises(InputError, match="1 unreadable files were left out"):
        run(store, settings, broken)


@pytest.mark.parametrize(
    ("layout", "backbone", "hint"),
    [
        ("digits", "envnet", "resnet18 or resnet50 or mobilenet_v2 or pixels"),
        ("esc", "resnet18", "envnet or envnet_v2 or m18 or logmel"),
        ("ratings", "pixels", "rating-bias"),
        ("image-folder", "rating-bias", "resnet18"),
    ],
)
def test_backbone_that_does_not_fit(store, layout, backbone, hint):
    settings = ExtractSettings(
        data=DataSettings(layout=layout), baseline=BaselineSettings(backbone=backbone)
    )
    with pytest.raises(ConfigError, match=f"the backbone {backbone} does not read") as caught:
        run(store, settings, None)
    assert hint in caught.value.hint


def test_folds(sounds, ratings, vectors, tmp_path):
    assert stage.folds(sound_settings(vectors), sounds) == (1, 2, 3)
    assert stage.folds(rating_settings(), ratings) == (1, 2, 3, 4, 5)
    with pytest.raises(ConfigError, match="no folds"):
        stage.folds(load_recipe("digits").extract, None)


def test_fold_that_does_not_exist(store, sounds, vectors):
    with pytest.raises(ConfigError, match="fold 9"):
        settings = sound_settings(vectors)
        data = settings.data.model_copy(update={"fold": 9})
        run(store, settings.model_copy(update={"data": data}), sounds)


def test_names():
    esc, film = load_recipe("esc10").extract, load_recipe("filmtrust").extract
    assert stage.default_name(esc, "esc10") == "esc10-envnet-fold1"
    assert stage.default_name(film, "filmtrust") == "filmtrust-rating-bias"
    assert stage.default_name(film, "filmtrust", seeded=True) == "filmtrust-rating-bias-seed0"
    pictures = with_baseline(load_recipe("cifar10").extract, views=10)
    assert stage.default_name(pictures, "cifar10") == "cifar10-resnet18-views10"


@pytest.mark.parametrize(
    ("path", "name"),
    [("birds of paradise", "birds-of-paradise"), ("Äöü", "image-folder"), ("a.csv", "a")],
)
def test_dataset_name_of_own_data(tmp_path, path, name):
    settings = ExtractSettings(
        data=DataSettings(layout="image-folder"), baseline=BaselineSettings(backbone="pixels")
    )
    assert stage.dataset_name(settings, tmp_path / path, None) == name


@pytest.mark.parametrize(("suffix", "modality"), [(".wav", "audio"), (".png", "image")])
def test_manifest_modality(tmp_path, suffix, modality):
    table = tmp_path / "manifest.csv"
    table.write_text(f"path,label\na{suffix},x\nb{suffix},y\n")
    assert stage.manifest_modality(table) == modality
    table.write_text("path,label\na.doc,x\n")
    with pytest.raises(InputError, match="neither sounds nor pictures"):
        stage.manifest_modality(table)


class StopAfter(SilentReporter):
    """Interrupts the training after so many steps, as Ctrl-C would."""

    def __init__(self, steps):
        self.steps = steps

    @contextmanager
    def task(self, description, total, unit="it", done=0):
        outer = self

        class Task:
            def advance(self, steps=1, status=""):
                if description.startswith("training"):
                    outer.steps -= 1
                    if outer.steps < 0:
                        raise KeyboardInterrupt

        yield Task()


@pytest.fixture
def network_settings(vectors) -> ExtractSettings:
    return ExtractSettings(
        data=DataSettings(layout="digits", limit=2, image_size=8),
        baseline=BaselineSettings(
            backbone="resnet18", epochs=2, batch_size=10, feature_dim=8, precision="float32"
        ),
        text=TextSettings(vectors=str(vectors)),
    )


def small_network(settings, num_classes, seed):
    """Stands in for a ResNet, whose checkpoints of 90 MB would be most of the test's time."""
    import torch
    from torch import nn

    from rrnet_cli.features.vision import VisionNet

    torch.manual_seed(seed)
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return VisionNet(
        nn.Sequential(*layers, nn.Flatten()), 8, num_classes, settings.feature_dim, dropout=0.2
    )


def test_interrupted_network_resumes_to_the_same_weights(tmp_path, network_settings, monkeypatch):
    monkeypatch.setattr("rrnet_cli.stages._network_baseline.build_baseline", small_network)
    whole = run(Store(tmp_path / "whole"), network_settings, None).artifact
    store = Store(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        run(store, network_settings, None, reporter=StopAfter(3))
    assert not list(store.root.glob("features/*/*/manifest.json"))
    assert list(store.root.glob(".work/*/*"))
    resumed = run(store, network_settings, None).artifact
    assert not list(store.root.glob(".work/*"))
    for file in ("features.safetensors", "prior.safetensors", "baseline.safetensors"):
        assert resumed.manifest.files[file].sha256 == whole.manifest.files[file].sha256
    history = resumed.table("history.parquet").to_pydict()
    assert history["epoch"] == [1, 2]
    assert resumed.arrays("features.safetensors")["image"].shape == (60, 8)
    assert resumed.manifest.summary["baseline"]["epochs"] == 2
    assert resumed.manifest.summary["baseline"]["precision"] == "float32"


def with_baseline(settings: ExtractSettings, **changes: object) -> ExtractSettings:
    return settings.model_copy(update={"baseline": settings.baseline.model_copy(update=changes)})


def test_a_network_is_used_again_with_more_views(store, network_settings, monkeypatch):
    monkeypatch.setattr("rrnet_cli.stages._network_baseline.build_baseline", small_network)
    plain = run(store, network_settings, None, name="plain").artifact
    assert "views" not in plain.manifest.params["baseline"]  # the version of before there were any
    assert "views.safetensors" not in plain.manifest.files
    settings = with_baseline(network_settings, views=10)
    trained_anew = run(store, settings, None, name="anew").artifact
    monkeypatch.setattr(
        "rrnet_cli.stages._network_baseline.train_classifier", lambda *_, **__: pytest.fail()
    )
    again = run(store, settings, None, name="again", weights="plain").artifact
    files = ("features", "prior", "views", "baseline")
    for name in (*(f"{file}.safetensors" for file in files), "history.parquet"):
        assert again.manifest.files[name].sha256 == trained_anew.manifest.files[name].sha256
    assert again.manifest.summary["baseline"] == trained_anew.manifest.summary["baseline"]
    assert again.manifest.inputs == {"weights": plain.ref}
    # the prior is the plain picture's, the features are not
    np.testing.assert_allclose(
        again.arrays("prior.safetensors")["logits"],
        plain.arrays("prior.safetensors")["logits"],
        rtol=1e-4,
        atol=1e-5,
    )
    features = (a.arrays("features.safetensors")["image"] for a in (again, plain))
    assert not np.allclose(*features, atol=1e-3)
    # RR-Net finds the answer over all views at the edge that it belongs to
    graph = build_graph(
        GraphSettings(k_intra=2, k_inter=2),
        store=store,
        features="again",
        name=None,
        reporter=SilentReporter(),
    ).artifact
    views = load_problem(graph, again, TrainSettings()).views
    edges = graph.table("edges/image.inter.text.parquet")
    left, right = edges["src"].to_numpy(), edges["dst"].to_numpy()
    logits = again.arrays("views.safetensors")["logits"]
    expected = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(views, expected[left, right], rtol=1e-4, atol=1e-5)


def test_a_network_is_used_again_where_some_of_select_supervise(
    store, network_settings, monkeypatch
):
    """The network was never fitted on them; what is held out of FIT asks for another network."""
    monkeypatch.setattr("rrnet_cli.stages._network_baseline.build_baseline", small_network)
    data = network_settings.data.model_copy(update={"limit": None})  # it counts by role
    settings = network_settings.model_copy(update={"data": data})
    plain = run(store, settings, None, name="plain").artifact

    def held(of):
        update = {"holdout": 0.5, "holdout_of": of}
        return settings.model_copy(update={"data": data.model_copy(update=update)})

    again = run(store, held("select"), None, weights="plain").artifact
    assert again.ref.name.endswith("-resnet18-holdselect0.5")
    for file in ("features", "prior", "baseline"):
        name = f"{file}.safetensors"
        assert again.manifest.files[name].sha256 == plain.manifest.files[name].sha256
    before, after = (
        np.array(a.table("instances.parquet")["role"].to_pylist()) for a in (plain, again)
    )
    assert set(before[after == "hold"]) == {"select"}
    assert (before[after != "hold"] == after[after != "hold"]).all()
    with pytest.raises(ConfigError, match="trained otherwise \\(data\\)"):
        run(store, held("fit"), None, weights="plain")


def test_a_network_that_was_trained_otherwise_is_refused(store, network_settings, monkeypatch):
    monkeypatch.setattr("rrnet_cli.stages._network_baseline.build_baseline", small_network)
    run(store, network_settings, None, name="plain")
    data = network_settings.data.model_copy(update={"split_seed": 1})
    for settings, message in (
        (network_settings.model_copy(update={"seed": 1}), "trained otherwise \\(seed\\)"),
        (network_settings.model_copy(update={"data": data}), "trained otherwise \\(data\\)"),
        (with_baseline(network_settings, epochs=3), "trained otherwise \\(baseline\\)"),
        (network_settings.model_copy(update={"cross_fit": 2}), "exclude each other"),
        (with_baseline(network_settings, backbone="pixels"), "pixels is no network"),
    ):
        with pytest.raises(ConfigError, match=message):
            run(store, settings, None, weights="plain")


@pytest.mark.parametrize("backbone", ["envnet", "m18"])
@pytest.mark.parametrize("changed", [False, True])
def test_networks_of_sounds(store, sounds, vectors, backbone, changed):
    """Plain, and on strongly augmented mixes; EnvNet-v2 differs by numbers alone and is slow."""
    settings = sound_settings(vectors, limit=2)
    baseline = BaselineSettings(
        backbone=backbone,
        epochs=1,
        batch_size=4,
        feature_dim=16,
        test_crops=2,
        between_class=changed,
        strong_augment=changed,
    )
    artifact = run(store, settings.model_copy(update={"baseline": baseline}), sounds).artifact
    assert artifact.ref.name.endswith(f"-{backbone}-fold2")
    assert artifact.arrays("features.safetensors")["audio"].shape == (12, 16)
    weights = artifact.arrays("baseline.safetensors")
    assert all(np.isfinite(weight).all() for weight in weights.values())
