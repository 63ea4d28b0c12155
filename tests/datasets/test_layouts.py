from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests import layouts
from tests.datasets.helpers import load

LAYOUTS = ("esc10", "cifar10", "cifar100", "filmtrust", "ciao")


def digest(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def generate(name: str, root: Path, per_class: int = 5, seed: int = 0) -> Path:
    options = ["--per-class", str(per_class), "--seed", str(seed), "--seconds", "0.05"]
    layouts.main([name, str(root), *options])
    return root


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_same_seed_writes_the_same_bytes(tmp_path, name):
    runs = (("a", 0), ("b", 0), ("c", 1))
    one, two, other = (digest(generate(name, tmp_path / sub, 2, seed)) for sub, seed in runs)
    assert one == two
    assert one != other


def test_esc_is_the_public_layout(tmp_path):
    generate("esc50", tmp_path)
    with (tmp_path / "meta" / "esc50.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert " ".join(rows[0]) == "filename fold target category esc10 src_file take"
    assert {int(row["fold"]) for row in rows} == {1, 2, 3, 4, 5}
    assert len({row["category"] for row in rows}) == 50
    assert sum(row["esc10"] == "True" for row in rows) == 50
    for row in rows:
        stem = f"{row['fold']}-{row['src_file']}-{row['take']}-{row['target']}.wav"
        assert row["filename"] == stem
    info = soundfile.info(tmp_path / "audio" / rows[0]["filename"])
    assert (info.samplerate, info.channels, info.subtype) == (44_100, 1, "PCM_16")


def test_cifar_is_the_hubs_layout(tmp_path):
    generate("cifar100", tmp_path, 1)
    schema = pq.read_schema(tmp_path / "train-00000-of-00001.parquet")
    assert str(schema.field("img").type) == "struct<bytes: binary, path: string>"
    assert str(schema.field("fine_label").type) == "int64"
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["img"] == {"_type": "Image"}
    assert features["fine_label"] == {"names": layouts.FINE, "_type": "ClassLabel"}
    assert (len(layouts.FINE), len(layouts.COARSE)) == (100, 20)
    assert layouts.FINE[:3] == ["apple", "aquarium_fish", "baby"]


def test_pictures_are_learnable(tmp_path):
    data = load(generate("cifar10", tmp_path, 30), layout="image-parquet")
    spectrum = np.abs(np.fft.fft2(data.images.mean(3), axes=(1, 2))).reshape(len(data.ids), -1)
    colour = data.images.std((1, 2)) * 20
    features = np.log1p(np.hstack((spectrum[:, 1:], colour)))
    test = data.roles == 2
    means = np.stack([features[~test & (data.labels == c)].mean(0) for c in range(10)])
    nearest = ((features[test][:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == data.labels[test]).mean() > 0.5


def test_sounds_are_learnable(tmp_path):
    layouts.write_esc(tmp_path, 10, subset10=True, seconds=0.5)
    data = load(tmp_path, layout="esc", fold=1)
    features = np.stack([np.abs(np.fft.rfft(clip, 16_000)) for clip in data.clips])
    peak = np.log2(features[:, 100:].argmax(1) + 100)
    test = data.roles == 2
    means = np.array([np.median(peak[~test & (data.labels == c)]) for c in range(10)])
    nearest = np.abs(peak[test][:, None] - means).argmin(1)
    assert (nearest == data.labels[test]).mean() > 0.5


@pytest.mark.parametrize(("name", "layout"), [("filmtrust", "ratings"), ("ciao", "ciao")])
def test_ratings_are_learnable_and_friends_agree(tmp_path, name, layout):
    data = load(generate(name, tmp_path, 20), layout=layout)
    assert data.scale == ((0.5, 4.0) if name == "filmtrust" else (1.0, 5.0))
    fit, test = data.roles == 0, data.roles == 2
    overall = data.rating[fit].mean()
    total = np.bincount(data.item[fit], data.rating[fit] - overall, len(data.item_ids))
    bias = total / (np.bincount(data.item[fit], minlength=len(data.item_ids)) + 3)
    error = np.abs(overall + bias[data.item[test]] - data.rating[test]).mean()
    assert error < np.abs(overall - data.rating[test]).mean()
    table = np.full((len(data.user_ids), len(data.item_ids)), np.nan)
    table[data.user, data.item] = data.rating

    def disagreement(one: np.ndarray, two: np.ndarray) -> float:
        return float(np.nanmean(np.abs(table[one] - table[two])))

    shuffled = np.random.default_rng(0).permutation(data.links[1])
    assert disagreement(*data.links) < disagreement(data.links[0], shuffled)
