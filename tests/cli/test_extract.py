"""`rrnet extract`: arguments, names, output and exit codes (the stage has tests of its own)."""

from __future__ import annotations

import json

import numpy as np
import pytest

FAST = ("--limit", "5")


@pytest.fixture
def words(tmp_path):
    numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    rng = np.random.default_rng(0)
    rows = [f"{w} {' '.join(f'{x:.3f}' for x in rng.normal(size=3))}" for w in numbers]
    path = tmp_path / "words.txt"
    path.write_text("10 3\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def ratings(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = [f"{u} {i} {rng.integers(1, 6)}" for u in range(12) for i in range(10)]
    (folder / "ratings.txt").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("RRNET_DATA", raising=False)


def test_reference_on_stdout_summary_on_stderr_then_cached(invoke, words):
    first = invoke("extract", "digits", "--word-vectors", words, *FAST)
    assert first.code == 0, first.err
    assert first.out.startswith("features/digits-pixels@")
    assert len(first.out.splitlines()) == 1
    assert "50 fit, 50 select, 50 test; 10 classes; pixels: fit top1" in first.err
    second = invoke("extract", "digits", "--word-vectors", words, *FAST)
    assert second.out == first.out
    assert "(cached)" in second.err


def test_json_is_one_document(invoke, words):
    done = invoke("extract", "digits", "--word-vectors", words, *FAST, "--json", "--name", "mine")
    document = json.loads(done.out)
    assert document["artifact"].startswith("features/mine@")
    assert document["cached"] is False
    assert document["summary"]["recipe"] == "digits"


def test_own_ratings_by_folds(invoke, ratings):
    done = invoke("extract", "ratings", "--data", ratings, "--fold", "all", "--json")
    assert done.code == 0, done.err
    names = [item["artifact"].partition("@")[0] for item in done.json["artifacts"]]
    assert names == [f"features/films-rating-bias-fold{fold}" for fold in range(1, 6)]
    named = invoke("extract", "ratings", "--data", ratings, "--fold", "all", "--name", "x")
    assert [line.partition("@")[0] for line in named.out.splitlines()] == [
        f"features/x-fold{fold}" for fold in range(1, 6)
    ]


@pytest.mark.parametrize("seed", ["0", "2"])
def test_a_given_split_seed_is_in_the_name(invoke, ratings, seed):
    done = invoke("extract", "ratings", "--data", ratings, "--split-seed", seed)
    assert done.out.startswith(f"features/films-rating-bias-seed{seed}@")


def test_cross_fit_and_holdout(invoke, ratings, tmp_path):
    (tmp_path / "c.yaml").write_text("extract: {cross_fit: 3}\n")
    done = invoke(
        "extract", "ratings", "--data", ratings, "--holdout", "0.25", "--config", "c.yaml"
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out.startswith("features/films-rating-bias-cross3-hold0.25@")
    assert "72 fit, 24 hold, 12 select, 12 test" in done.err
    for figure in ("oof mae", "oof rmse", "hold mae", "hold rmse", "select rmse"):
        assert f"{figure} " in done.err
    same = ("--set", "data.holdout=0.25", "--cross-fit", "3")
    assert invoke("extract", "ratings", "--data", ratings, *same).out == done.out


def test_data_folder_from_the_environment(invoke, ratings, monkeypatch, tmp_path):
    ratings.rename(tmp_path / "filmtrust")
    monkeypatch.setenv("RRNET_DATA", str(tmp_path))
    done = invoke("extract", "filmtrust", "--set", "data.rating_max=5")
    assert done.code == 0, done.err
    assert done.out.startswith("features/filmtrust-rating-bias@")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("esc11",), 2, "did you mean esc10?"),
        (("esc10",), 2, "set RRNET_DATA to the folder that holds ESC-10"),
        (("audio-folder",), 2, "pass --data PATH"),
        (("manifest",), 2, "--data"),
        (("esc10", "--data", "nowhere"), 3, "nowhere does not exist"),
        (("digits", "--backbone", "envnet"), 2, "does not read pictures"),
        (("digits", "--backbone", "vgg"), 2, "--backbone"),
        (("digits", "--between-class"), 2, "is for the backbones envnet, envnet_v2, m18"),
        (("digits", "--strong-augment"), 2, "is for the backbones envnet, envnet_v2, m18"),
        (("digits", "--fold", "all"), 2, "no folds"),
        (("digits", "--fold", "two"), 2, "data.fold"),
        (("digits", "--on-error", "ignore"), 2, "use fail or skip"),
        (("digits", "--cross-fit", "1"), 2, "--cross-fit"),
        (("digits", "--holdout", "1.5"), 2, "--holdout"),
        (("digits", "--holdout-of", "select"), 2, "set holdout, the fraction, too"),
        (("digits", "--set", "basline.lr=1"), 2, "did you mean `baseline.lr`?"),
        (("digits", "--config", "none.yaml"), 2, "cannot read the configuration"),
        (("digits", "--word-vectors", "none.bin"), 3, "do not exist"),
        (("digits", "--word-vectors", "no-such-set"), 7, "not on this machine"),
        (("digits", "--name", "../x"), 2, "cannot be the name of an artifact"),
    ],
)
def test_mistakes(invoke, tmp_path, args, code, words):
    done = invoke("extract", *args)
    assert done.code == code, done.err
    assert words in done.err
    assert len([line for line in done.err.splitlines() if line.startswith("error: ")]) == 1
    assert done.out == ""
    assert not list(tmp_path.glob("artifacts/**/manifest.json"))


def test_all_parameter_mistakes_at_once(invoke, tmp_path):
    (tmp_path / "c.yaml").write_text("extract:\n  baseline: {epoch: 1}\n")
    done = invoke("extract", "digits", "--config", "c.yaml", "--set", "seed=-1", "--lr", "0")
    assert done.code == 2
    assert "3 problems in the parameters of extract" in done.err


def test_manifest_of_pictures(invoke, tmp_path, words):
    from PIL import Image

    rng = np.random.default_rng(0)
    rows = ["path,label"]
    for row in range(30):
        label = ("one", "two")[row % 2]
        pixels = rng.integers(0, 100, (8, 8, 3), dtype=np.uint8) + (row % 2) * 100
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{row}.png")
        rows.append(f"{row}.png,{label}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    done = invoke(
        "extract", "manifest", "--data", tmp_path / "manifest.csv", "--backbone", "pixels",
        "--word-vectors", words, "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["artifact"].startswith("features/manifest-pixels@")
    assert done.json["summary"]["left"] == "image"
    assert done.json["summary"]["recipe"] is None
