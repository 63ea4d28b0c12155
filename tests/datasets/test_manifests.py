from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from rrnet_cli.datasets.base import FIT, SELECT, TEST
from rrnet_cli.datasets.manifests import as_words, encode_labels
from rrnet_cli.errors import ConfigError, InputError
from tests.datasets.helpers import load, ramp


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    for number in range(20):
        Image.fromarray(ramp(level=number)).save(tmp_path / "files" / f"{number}.png")
    return tmp_path


def rows(num: int = 20, **columns: str) -> str:
    """A CSV of `num` rows; each value may use {i}."""
    columns = {"path": "files/{i}.png", "label": "ab{odd}", **columns}
    lines = [",".join(columns)]
    lines += [",".join(v.format(i=i, odd=i % 2) for v in columns.values()) for i in range(num)]
    return "\n".join(lines) + "\n"


def test_paths_and_labels(pictures):
    (pictures / "list.csv").write_text(rows())
    data = load(pictures / "list.csv", layout="image-manifest")
    assert data.ids[3] == "files/3.png"
    assert data.class_names == ("ab0", "ab1")
    for name, label, pixels in zip(data.ids, data.labels, data.images, strict=True):
        number = int(Path(name).stem)
        assert label == number % 2
        assert (pixels == ramp(level=number)).all()


def test_split_fold_and_group_columns(pictures):
    text = rows(split="{i}", fold="{i}", group="g{i}")
    for i in range(20):
        split, fold = ("train", "Validation", "test")[i // 4 % 3], i // 2 % 5 + 1
        text = text.replace(f",{i},{i},g{i}\n", f",{split},{fold},g{i // 4}\n")
    (pictures / "manifest.csv").write_text(text)
    data = load(pictures, layout="image-manifest")
    wanted = [(FIT, SELECT, TEST)[int(Path(name).stem) // 4 % 3] for name in data.ids]
    assert data.roles.tolist() == wanted
    folded = load(pictures, layout="image-manifest", fold=2)
    number = np.array([int(Path(name).stem) for name in folded.ids])
    assert ((folded.roles == TEST) == (number // 2 % 5 == 1)).all()
    fit, select = (set(number[folded.roles == role] // 4) for role in (FIT, SELECT))
    assert select
    assert not fit & select
    with pytest.raises(ConfigError, match="no fold 6"):
        load(pictures, layout="image-manifest", fold=6)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_byte_order_mark_and_other_column_names(pictures, separator):
    text = rows().replace("path,label", "File_Name,Category").replace(",", separator)
    (pictures / "m.csv").write_text("\ufeff" + text, encoding="utf-8")
    assert len(load(pictures / "m.csv", layout="image-manifest").ids) == 20


def test_parquet_tables(pictures):
    table = pa.table(
        {
            "path": [f"files/{i}.png" for i in range(20)],
            "label": pa.array([f"c{i % 2}" for i in range(20)]).dictionary_encode(),
            "fold": [i // 4 + 1 for i in range(20)],
        }
    )
    pq.write_table(table, pictures / "manifest.parquet")
    data = load(pictures, layout="image-manifest", fold=5)
    assert np.flatnonzero(data.roles == TEST).tolist() == [16, 17, 18, 19]


def test_sound_manifests(tmp_path):
    for number in range(12):
        soundfile.write(tmp_path / f"{number}.wav", np.full(50, 0.1), 16_000)
    (tmp_path / "m.csv").write_text(rows(12, path="{i}.wav"))
    data = load(tmp_path / "m.csv", layout="audio-manifest")
    assert {len(clip) for clip in data.clips} == {50}
    assert np.bincount(data.roles).tolist() == [8, 2, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rows().replace("label", "kind"), "no column 'label': it has path, kind; expected are"),
        (rows().replace("path", "where"), "no column 'path': it has where, label"),
        (rows(label=""), "m.csv, line 2 has no label"),
        (rows(path="files/1.png"), "line 3 repeats files/1.png of line 2"),
        (rows(path="../{i}.png"), "line 2: '../0.png' does not lie below"),
        (rows(path="/etc/{i}.png"), "line 2: '/etc/0.png' does not lie below"),
        (rows(split="train{i}"), "line 2: unknown split 'train0'"),
        (rows(fold="0"), "line 2: '0' is no fold"),
        (rows(path="files/x{i}.png"), r"files/x\d+.png, listed in m.csv, is not there"),
        (rows(label="same"), r"one class only \(same\)"),
        (rows() + "files/1.png\n", "line 22 has 1 cells, its header 2"),
        ("path,label\n", "m.csv has no rows"),
        ("", "has no header"),
        ("a,a\n1,2\n", "names a column twice"),
        (rows().replace("ab1", "a_b").replace("ab0", "a b"), "writes the class 'a b' in two ways"),
        ('path,label\n"files/1.png,a\n', "is not well-formed CSV"),
        (b"path,label\n\xff\xfe,a\n", "is not UTF-8"),
        (rows(split="test"), "fit split of m.csv is empty"),
    ],
)
def test_bad_tables(pictures, text, message):
    content = text if isinstance(text, bytes) else text.encode()
    (pictures / "m.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(pictures / "m.csv", layout="image-manifest")


def test_a_folder_must_hold_one_table(pictures):
    with pytest.raises(InputError, match=r"holds none of manifest.csv"):
        load(pictures, layout="image-manifest")
    (pictures / "manifest.csv").write_text(rows())
    (pictures / "labels.csv").write_text(rows())
    with pytest.raises(InputError, match=r"holds manifest.csv and labels.csv"):
        load(pictures, layout="image-manifest")


def test_a_text_renamed_parquet(pictures):
    (pictures / "m.parquet").write_text(rows())
    with pytest.raises(InputError, match=r"m.parquet is no readable Parquet"):
        load(pictures / "m.parquet", layout="image-manifest")


def test_labels_are_numbered_in_numeric_order():
    labels, names = encode_labels(["10", "9", "10", "100"], "x")
    assert names == ("9", "10", "100")
    assert labels.tolist() == [1, 0, 1, 2]


def test_names_become_words():
    assert as_words("clock_tick") == "clock tick"
    assert as_words("__man-made__things ") == "man-made things"
