from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rrnet_cli.datasets.base import TEST
from rrnet_cli.errors import InputError
from tests.datasets.helpers import load

NAMES = ["airplane", "sweet_pepper"]


def write_binary(root: Path, fine: bool) -> np.ndarray:
    """Either version with 20 training and 4 test records; gives the pictures, train then test."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    folder = root / ("cifar-100-binary" if fine else "cifar-10-batches-bin")
    folder.mkdir()
    names = "fine_label_names.txt" if fine else "batches.meta.txt"
    (folder / names).write_text("\n".join(NAMES) + "\n\n")

    def record(number: int) -> bytes:
        head = bytes([9, number % 2]) if fine else bytes([number % 2])
        return head + pictures[number].transpose(2, 0, 1).tobytes()

    parts = np.array_split(np.arange(20), 1 if fine else 5)
    files = ["train.bin"] if fine else [f"data_batch_{i}.bin" for i in range(1, 6)]
    parts.append(np.arange(20, 24))
    for name, part in zip([*files, "test.bin" if fine else "test_batch.bin"], parts, strict=True):
        (folder / name).write_bytes(b"".join(record(number) for number in part.tolist()))
    return pictures


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("layout", ["cifar-binary", "image-parquet"])
def test_binary_versions(tmp_path, fine, layout):
    pictures = write_binary(tmp_path, fine)
    data = load(tmp_path, layout=layout)
    assert data.class_names == ("airplane", "sweet pepper")
    assert (data.images == pictures).all()
    assert (data.labels == np.arange(24) % 2).all()
    assert (np.flatnonzero(data.roles == TEST) == np.arange(20, 24)).all()
    assert data.ids[19:21] == ("train/19", "test/0")


def test_limit_and_size(tmp_path):
    pictures = write_binary(tmp_path, fine=False)
    data = load(tmp_path / "cifar-10-batches-bin", layout="cifar-binary", limit=1)
    assert len(data.ids) == 6
    for name, pixels in zip(data.ids, data.images, strict=True):
        split, row = name.split("/")
        assert (pixels == pictures[int(row) + 20 * (split == "test")]).all()
    assert load(tmp_path, layout="cifar-binary", image_size=8).images.shape == (24, 8, 8, 3)


def test_damage_is_named(tmp_path):
    write_binary(tmp_path, fine=False)
    batch = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    content = batch.read_bytes()
    batch.write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"data_batch_3.bin has 12,291 bytes, no multiple of"):
        load(tmp_path, layout="cifar-binary")
    batch.write_bytes(b"\x07" + content[1:])
    with pytest.raises(InputError, match=r"data_batch_3.bin, record 0 has a label beyond the 2"):
        load(tmp_path, layout="cifar-binary")
    batch.unlink()
    with pytest.raises(InputError, match=r"has no data_batch_3.bin"):
        load(tmp_path, layout="cifar-binary")


@pytest.mark.parametrize("layout", ["cifar-binary", "image-parquet", "image-folder"])
@pytest.mark.parametrize(
    "files",
    [
        ["cifar-10-batches-py/data_batch_1"],
        ["data_batch_1", "batches.meta"],
        ["cifar-100-python/train"],
        ["train", "test", "meta"],
    ],
)
def test_the_python_version_is_refused_unread(tmp_path, layout, files):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(InputError, match="whose files are pickles") as caught:
        load(tmp_path, layout=layout)
    assert "binary version" in (caught.value.hint or "")


def test_no_batches(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(InputError, match="holds no CIFAR batches"):
        load(tmp_path, layout="cifar-binary")
