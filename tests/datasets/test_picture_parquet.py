from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rrnet_cli.datasets.base import FIT, SELECT, TEST
from rrnet_cli.errors import ConfigError, InputError
from tests.datasets.helpers import Notes, load, ramp
from tests.layouts import CIFAR10, COARSE, FINE, encode_png, write_cifar, write_parquet

NAMES = {"label": ("red_fox", "ray")}


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cifar")
    write_cifar(root, per_class=10)
    return root


def small(root: Path, name: str = "train", num: int = 20, **changes: object) -> Path:
    pictures = [encode_png(ramp(level=i)) for i in range(num)]
    write_parquet(root / f"{name}.parquet", pictures, {"label": [i % 2 for i in range(num)]}, NAMES)
    return root / f"{name}.parquet"


def rewrite(file: Path, change) -> None:
    pq.write_table(change(pq.read_table(file)), file)


def test_every_picture_keeps_its_label_over_shards(cifar):
    data = load(cifar, layout="image-parquet")
    assert data.class_names == tuple(CIFAR10)
    assert data.images.shape == (120, 32, 32, 3)
    assert np.bincount(data.roles).tolist() == [90, 10, 20]
    assert ((data.roles == TEST) == [name.startswith("test/") for name in data.ids]).all()
    wanted = {}
    for split in ("train", "test"):
        files = sorted(cifar.glob(f"{split}-*"))
        rows = [row for file in files for row in pq.read_table(file).to_pylist()]
        wanted |= {f"{split}/{n}": row for n, row in enumerate(rows)}
    for name, label, pixels in zip(data.ids, data.labels, data.images, strict=True):
        assert wanted[name]["label"] == label
        assert encode_png(pixels) == wanted[name]["img"]["bytes"]


def test_limit_decodes_the_same_pictures(cifar):
    full = load(cifar, layout="image-parquet")
    part = load(cifar, layout="image-parquet", limit=1)
    assert np.bincount(part.roles).tolist() == [10, 10, 10]
    where = {name: row for row, name in enumerate(full.ids)}
    for name, role, pixels in zip(part.ids, part.roles, part.images, strict=True):
        assert full.roles[where[name]] == role
        assert (full.images[where[name]] == pixels).all()


def test_cifar100_takes_the_fine_labels(tmp_path):
    write_cifar(tmp_path, per_class=3, fine=True)
    table = pq.read_table(tmp_path / "train-00000-of-00001.parquet")
    assert table.column_names == ["img", "fine_label", "coarse_label"]
    data = load(tmp_path, layout="image-parquet")
    assert data.class_names == tuple(name.replace("_", " ") for name in FINE)
    assert len(COARSE) == 20
    assert np.bincount(data.roles).tolist() == [200, 100, 100]


def test_the_image_column_text_labels_and_a_file_alone(tmp_path):
    file = small(tmp_path, "anything")
    words = ["class_0", "class_1"] * 10
    rewrite(file, lambda t: pa.table({"image": t["img"], "label": words}))
    data = load(file, layout="image-parquet", image_size=12)
    assert data.class_names == ("class 0", "class 1")
    assert data.images.shape == (20, 12, 12, 3)
    assert all((data.roles == role).any() for role in (FIT, SELECT, TEST))
    assert data.ids[0] == "row/0"


def test_the_hubs_converted_branch_names_splits_by_folder(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        small(tmp_path / split, "0000")
    data = load(tmp_path, layout="image-parquet")
    assert ((data.roles == TEST) == [name.startswith("test/") for name in data.ids]).all()


def test_unreadable_pictures(tmp_path):
    pictures = [encode_png(ramp(level=i)) for i in range(20)]
    pictures[0], pictures[7] = b"text", b""
    write_parquet(tmp_path / "train.parquet", pictures, {"label": [0, 1] * 10}, NAMES)
    with pytest.raises(InputError, match="train/0 is no picture"):
        load(tmp_path, layout="image-parquet")
    notes = Notes()
    data = load(tmp_path, notes, on_error="skip", layout="image-parquet")
    assert sorted(data.skipped) == ["train/0", "train/7"]
    for name, pixels in zip(data.ids, data.images, strict=True):
        assert (pixels == ramp(level=int(name.split("/")[1]))).all()


def drop(column):
    return lambda t: t.drop_columns([column])


def label_as(values, kind=None):
    def change(table):
        column = pa.array(list(values) * (len(table) // len(values)), kind)
        changed = table.set_column(1, "label", column)
        return changed.replace_schema_metadata(table.schema.metadata)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("label"), "no column 'label': it has img; expected"),
        (drop("img"), "no column 'img': it has label"),
        (lambda t: pa.table({"img": ["a"] * len(t), "label": t["label"]}), "no struct of bytes"),
        (label_as([0, 5]), "row 1 of .* has the label 5, but there are 2 class names"),
        (label_as([0, -1]), "has the label -1"),
        (label_as([0, None], pa.int64()), "row 1 has no label"),
        (label_as([0.5, 1.0]), "neither integer nor text"),
        (label_as([1, 1]), r"holds one class only \(ray\)"),
        (lambda t: t.replace_schema_metadata({}), "numbers for labels but no class names"),
        (lambda t: t.replace_schema_metadata({"huggingface": "{"}), "'huggingface' is damaged"),
        (lambda t: t.slice(0, 0), "one class only|is empty"),
    ],
)
def test_bad_tables(tmp_path, change, message):
    rewrite(small(tmp_path), change)
    with pytest.raises(InputError, match=message):
        load(tmp_path, layout="image-parquet")


def test_damaged_and_missing_files(tmp_path):
    with pytest.raises(InputError, match="holds no Parquet file"):
        load(tmp_path, layout="image-parquet")
    small(tmp_path, "train-00000-of-00002")
    with pytest.raises(InputError, match=r"train-00001-of-00002.parquet is missing"):
        load(tmp_path, layout="image-parquet")
    small(tmp_path, "train-00001-of-00002")
    small(tmp_path, "whatever")
    with pytest.raises(InputError, match=r"whatever.parquet tells no split"):
        load(tmp_path, layout="image-parquet")
    (tmp_path / "whatever.parquet").write_text("text")
    with pytest.raises(InputError, match=r"whatever.parquet is no readable Parquet"):
        load(tmp_path, layout="image-parquet")
    with pytest.raises(InputError, match="is an archive"):
        (tmp_path / "a.zip").write_text("PK")
        load(tmp_path / "a.zip", layout="image-parquet")


def test_a_flipped_page_is_named(tmp_path):
    file = small(tmp_path)
    content = bytearray(file.read_bytes())
    content[8:200] = bytes(192)
    file.write_bytes(content)
    with pytest.raises(InputError, match="train"):
        load(tmp_path, layout="image-parquet")


def test_there_are_no_folds(tmp_path):
    small(tmp_path)
    with pytest.raises(ConfigError, match="has no folds"):
        load(tmp_path, layout="image-parquet", fold=1)
