"""The shares of instances that several machines take on, by every reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrnet_cli.datasets import open_dataset
from rrnet_cli.datasets.share import Share, parse_share
from rrnet_cli.errors import ConfigError
from rrnet_cli.progress import SilentReporter
from rrnet_cli.settings import DataSettings
from tests.layouts import encode_png, texture, write_cifar, write_esc


@given(st.integers(1, 500), st.integers(1, 9), st.integers(1, 70))
def test_shares_are_whole_batches_that_cover_everything_once(
    total: int, of: int, batch: int
) -> None:
    if -(-total // batch) < of:
        with pytest.raises(ConfigError, match="cannot be shared out"):
            Share(1, of, batch).rows(total)
        return
    parts = [np.arange(total)[Share(number, of, batch).rows(total)] for number in range(1, of + 1)]
    assert np.array_equal(np.concatenate(parts), np.arange(total))
    assert all(part[0] % batch == 0 for part in parts)
    batches = [-(-len(part) // batch) for part in parts]
    assert max(batches) - min(batches) <= 1


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1/0", "1", "1/", "a/b", "-1/3", "1/2/3"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no shard"):
        parse_share(text)


def test_a_share_is_read() -> None:
    assert parse_share("2/14") == (2, 14)


def write_folders(root: Path) -> None:
    rng = np.random.default_rng(0)
    for label, name in enumerate(("dog", "cat")):
        (root / name).mkdir(parents=True)
        for number in range(7):
            (root / name / f"{number}.png").write_bytes(encode_png(texture(label, 2, rng)))


@pytest.mark.parametrize("layout", ["esc", "image-folder", "image-parquet", "digits"])
def test_the_shares_of_a_reader_are_what_it_reads_alone(layout: str, tmp_path: Path) -> None:
    data = None if layout == "digits" else tmp_path / "data"
    fold = None
    if layout == "esc":
        fold = 1
        write_esc(tmp_path / "data", subset10=True, seconds=0.2)
    elif layout == "image-folder":
        write_folders(tmp_path / "data")
    elif layout == "image-parquet":
        write_cifar(tmp_path / "data", per_class=3)
    settings = DataSettings(layout=layout, fold=fold, limit=3)  # type: ignore[arg-type]

    def load(share: Share | None):  # type: ignore[no-untyped-def]
        reader = open_dataset(settings, data, sample_rate=8000, share=share)
        return reader.source(), reader.load(SilentReporter())

    source, whole = load(None)
    parts = []
    for number in (1, 2, 3):
        where, part = load(Share(number, 3))
        assert where == source  # the version is that of all
        parts.append(part)
    assert sum((part.ids for part in parts), ()) == whole.ids
    assert all(part.class_names == whole.class_names for part in parts)
    for name in ("labels", "roles"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(joined, getattr(whole, name))
    if layout == "esc":
        clips = sum((part.clips for part in parts), ())
        assert all(np.array_equal(a, b) for a, b in zip(clips, whole.clips, strict=True))
        assert np.array_equal(np.concatenate([part.groups for part in parts]), whole.groups)
    else:
        assert np.array_equal(np.concatenate([part.images for part in parts]), whole.images)
