"""Stage `extract` with out-of-fold priors and held instances: records, resume, leakage."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import soundfile

from rrnet_cli.datasets.base import FIT, HOLD, ROLE_NAMES
from rrnet_cli.errors import InputError
from rrnet_cli.features.rating_bias import RatingTable, fit_bias
from rrnet_cli.settings import ExtractSettings
from rrnet_cli.stages import extract as stage
from rrnet_cli.store.store import Store

from .test_extract import (
    RATE,
    StopAfter,
    network_settings,
    rating_settings,
    ratings,
    run,
    small_network,
    sound_settings,
    vectors,
)

__all__ = ["network_settings", "ratings", "vectors"]  # fixtures


def switched(settings, cross_fit=None, holdout=None, **data) -> ExtractSettings:
    chosen = settings.data.model_copy(update={"holdout": holdout, **data})
    return settings.model_copy(update={"cross_fit": cross_fit, "data": chosen})


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """The ESC layout: 3 folds, 2 classes of 6 recordings, 2 clips each; hard to tell apart."""
    root = tmp_path_factory.mktemp("recordings")
    (root / "meta").mkdir()
    (root / "audio").mkdir()
    rng = np.random.default_rng(0)
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for number in range(72):
        fold, target, take = number % 3 + 1, number // 3 % 2, number // 36
        recording = 100 * fold + number % 36
        clip = 0.2 * np.sin(np.arange(RATE // 4) * (0.2 + 0.01 * target + 0.02 * rng.normal()))
        clip += 0.05 * rng.normal(size=len(clip))
        name = f"{fold}-{recording}-{take}.wav"
        soundfile.write(root / "audio" / name, clip, RATE, subtype="PCM_16")
        category = ("dog", "clock_tick")[target]
        rows.append(f"{name},{fold},{target},{category},True,{recording},{take}")
    (root / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "artifacts")


def table(artifact, name):
    return {k: np.array(v) for k, v in artifact.table(name).to_pydict().items()}


def tensors(artifact) -> dict[str, str]:
    """Digests of all files of numbers."""
    files = artifact.manifest.files.items()
    return {name: file.sha256 for name, file in files if name.endswith("safetensors")}


def test_features_are_those_of_one_baseline_and_only_fit_has_another_prior(
    store, recordings, vectors
):
    settings = sound_settings(vectors)
    plain = run(store, settings, recordings).artifact
    crossed = run(store, switched(settings, cross_fit=3), recordings).artifact
    assert crossed.ref.name == f"{plain.ref.name}-cross3"
    for file in ("features.safetensors", "baseline.safetensors"):
        assert tensors(plain)[file] == tensors(crossed)[file]
    rows = table(crossed, "instances.parquet")
    changed = (
        plain.arrays("prior.safetensors")["logits"] != crossed.arrays("prior.safetensors")["logits"]
    ).any(axis=1)
    assert (changed == (rows["role"] == "fit")).all()
    of_fit = rows["part"][rows["role"] == "fit"]
    assert set(rows["part"][rows["role"] != "fit"]) == {-1}
    one, other = plain.manifest.summary, crossed.manifest.summary
    assert one["prior"] == "in-sample" and "parts" not in one
    assert other["prior"] == "out-of-fold"
    assert other["parts"] == np.bincount(of_fit).tolist()
    assert other["baseline"].pop("oof_top1") < other["baseline"]["fit_top1"]
    assert one["baseline"] == other["baseline"]


def test_clips_of_one_recording_are_in_one_part(store, recordings, vectors):
    artifact = run(store, switched(sound_settings(vectors), cross_fit=4), recordings).artifact
    rows = table(artifact, "instances.parquet")
    parts: dict[str, set[int]] = {}
    for name, part in zip(rows["id"], rows["part"], strict=True):
        if part >= 0:
            parts.setdefault(name.rsplit("-", 1)[0], set()).add(part)
    assert len(parts) > 4
    assert all(len(found) == 1 for found in parts.values())


@pytest.mark.parametrize("switch", [{"cross_fit": 3}, {"holdout": 0.3}])
def test_test_labels_change_no_tensor(store, recordings, vectors, tmp_path, switch):
    changed = tmp_path / "changed"
    shutil.copytree(recordings, changed)
    path = changed / "meta" / "esc50.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    labels = {"dog": ("1", "clock_tick"), "clock_tick": ("0", "dog")}

    def relabelled(fold):
        return [
            row | dict(zip(("target", "category"), labels[row["category"]], strict=True))
            if row["fold"] == fold and row["filename"].endswith("0.wav")
            else row
            for row in rows
        ]

    def extracted(content):
        with path.open("w") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(content)
        return run(store, switched(sound_settings(vectors), **switch), changed, name="x").artifact

    plain = extracted(rows)
    other = extracted(relabelled("2"))  # the test fold
    assert plain.ref != other.ref
    assert tensors(plain) == tensors(other)
    assert tensors(extracted(relabelled("1"))) != tensors(plain)  # the check can fail


def test_held_labels_do_not_reach_the_baseline(store, ratings, tmp_path):
    settings = switched(rating_settings(user_reg=3.0, item_reg=3.0), holdout=0.25)
    first = run(store, settings, ratings).artifact
    rows = table(first, "ratings.parquet")
    held = rows["role"] == "hold"
    assert first.manifest.summary["ratings"] == {"fit": 120, "hold": 40, "select": 20, "test": 20}
    assert list(first.manifest.summary["ratings"]) == ["fit", "hold", "select", "test"]
    changed = tmp_path / "changed"
    changed.mkdir()
    values = np.where(held, 6 - rows["rating"], rows["rating"])
    lines = [
        f"{u + 1} {i + 1} {r:g}" for u, i, r in zip(rows["user"], rows["item"], values, strict=True)
    ]
    (changed / "ratings.txt").write_text("\n".join(lines) + "\n")
    second = run(store, settings, changed).artifact
    assert tensors(first) == tensors(second)
    again = table(second, "ratings.parquet")
    assert (again["prior"] == rows["prior"]).all()
    assert (again["rating"] != rows["rating"])[held].any()
    scores = [artifact.manifest.summary["baseline"] for artifact in (first, second)]
    assert scores[0]["hold_rmse"] != scores[1]["hold_rmse"]
    assert scores[0]["select_rmse"] == scores[1]["select_rmse"]


def test_ratings_against_a_loop(store, ratings):
    artifact = run(store, switched(rating_settings(), cross_fit=5), ratings).artifact
    rows, summary = table(artifact, "ratings.parquet"), artifact.manifest.summary
    chosen = summary["baseline"]
    fit = rows["role"] == "fit"
    assert sorted(set(rows["part"][fit])) == [0, 1, 2, 3, 4]
    expected = np.full(len(fit), np.nan, np.float32)
    for row in np.flatnonzero(fit):
        seen = fit & (rows["part"] != rows["part"][row])
        model = fit_bias(
            RatingTable(*(rows[name][seen] for name in ("user", "item", "rating"))),
            20,
            15,
            scale=(1.0, 5.0),
            user_reg=chosen["user_reg"],
            item_reg=chosen["item_reg"],
        )
        expected[row] = model.predict(rows["user"][[row]], rows["item"][[row]])[0]
    assert (rows["prior"][fit].astype(np.float32) == expected[fit]).all()
    error = (expected - rows["rating"])[fit]
    assert chosen["oof_mae"] == pytest.approx(np.abs(error).mean(), abs=1e-6)
    assert chosen["oof_rmse"] == pytest.approx(np.sqrt(np.square(error).mean()), abs=1e-6)
    assert chosen["oof_rmse"] > chosen["fit_rmse"]
    plain = table(run(store, rating_settings(), ratings).artifact, "ratings.parquet")
    assert (plain["prior"] == rows["prior"])[~fit].all()


def test_own_rating_does_not_reach_its_prior(store, ratings, tmp_path):
    """With given dampings; chosen ones depend, a little, on all of FIT."""
    settings = switched(rating_settings(user_reg=3.0, item_reg=3.0), cross_fit=4)
    rows = table(run(store, settings, ratings).artifact, "ratings.parquet")
    own = int(np.flatnonzero(rows["role"] == "fit")[7])
    rating = rows["rating"].copy()
    rating[own] = 6 - rating[own] if rating[own] != 3 else 5
    changed = tmp_path / "changed"
    changed.mkdir()
    lines = [
        f"{u + 1} {i + 1} {r:g}" for u, i, r in zip(rows["user"], rows["item"], rating, strict=True)
    ]
    (changed / "ratings.txt").write_text("\n".join(lines) + "\n")
    again = table(run(store, settings, changed).artifact, "ratings.parquet")
    same_part = rows["part"] == rows["part"][own]
    assert again["prior"][own] == rows["prior"][own]
    assert (again["prior"] == rows["prior"])[same_part].all()
    assert (again["prior"] != rows["prior"])[~same_part].any()


def test_interrupted_second_part_resumes_to_the_same_bytes(tmp_path, network_settings, monkeypatch):
    monkeypatch.setattr("rrnet_cli.stages._network_baseline.build_baseline", small_network)
    settings = switched(network_settings, cross_fit=2, limit=4)
    whole = run(Store(tmp_path / "whole"), settings, None).artifact
    store = Store(tmp_path / "parts")
    # 40 fitted pictures: 2 epochs of 4 steps, then twice 2 of 2; into the 2nd epoch of part 1
    with pytest.raises(KeyboardInterrupt):
        run(store, settings, None, reporter=StopAfter(8 + 4 + 3))
    (work,) = store.root.glob(".work/*")
    assert {path.name for path in work.iterdir() if path.is_dir()} == {"part0", "part1"}
    steps = StopAfter(100)
    resumed = run(store, settings, None, reporter=steps).artifact
    assert 100 - steps.steps == 2  # nothing else was trained again
    assert not list(store.root.glob(".work/*"))
    names = ("features", "prior", "baseline")
    for file in (*(f"{name}.safetensors" for name in names), "instances.parquet"):
        assert resumed.manifest.files[file].sha256 == whole.manifest.files[file].sha256
    plain = run(Store(tmp_path / "plain"), switched(settings), None).artifact
    assert tensors(plain)["features.safetensors"] == tensors(whole)["features.safetensors"]
    assert tensors(plain)["prior.safetensors"] != tensors(whole)["prior.safetensors"]


def test_parts_of_a_network_are_trained_without_their_instances(
    store, network_settings, monkeypatch
):
    from rrnet_cli.stages import _network_baseline

    monkeypatch.setattr(_network_baseline, "build_baseline", small_network)
    fitted = []
    original = _network_baseline.train_classifier

    def spied(model, inputs, labels, roles, *args, **kwargs):
        fitted.append(roles.copy())
        return original(model, inputs, labels, roles, *args, **kwargs)

    monkeypatch.setattr(_network_baseline, "train_classifier", spied)
    artifact = run(store, switched(network_settings, cross_fit=2, limit=4), None).artifact
    rows = table(artifact, "instances.parquet")
    roles = np.array([ROLE_NAMES.index(role) for role in rows["role"]])
    assert (fitted[0] == roles).all()
    for part in (0, 1):
        assert (fitted[part + 1] == np.where(rows["part"] == part, HOLD, roles)).all()
        assert (fitted[part + 1] == FIT).any()


def test_both_switches_together(store, recordings, vectors):
    artifact = run(store, switched(sound_settings(vectors), 3, 0.3), recordings).artifact
    rows = table(artifact, "instances.parquet")
    assert artifact.ref.name.endswith("-logmel-fold2-cross3-hold0.3")
    assert ((rows["part"] >= 0) == (rows["role"] == "fit")).all()
    assert (rows["role"] == "hold").sum() >= 4
    assert set(artifact.manifest.summary["baseline"]) >= {"hold_top1", "oof_top1", "fit_top1"}


def test_switches_are_part_of_the_version_and_off_ones_leave_it_as_it_was(store, ratings):
    versions = [
        run(store, switched(rating_settings(), *switches), ratings, name="x").artifact.ref.version
        for switches in ((None, None), (2, None), (3, None), (None, 0.1), (None, 0.2), (2, 0.1))
    ]
    assert len(set(versions)) == 6
    params = stage._params(rating_settings(), None)
    assert "cross_fit" not in params and "holdout" not in params["data"]


def test_holding_out_nothing_is_refused(store, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    pairs = [f"{u} {i} {u % 5 + 1}" for u in range(4) for i in range(3)]
    (few / "ratings.txt").write_text("\n".join(pairs) + "\n")
    with pytest.raises(InputError, match=r"--holdout 0\.01 of so few"):
        run(store, switched(rating_settings(), holdout=0.01), few)
