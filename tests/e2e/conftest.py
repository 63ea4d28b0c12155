"""A small store that the four stages made, and word vectors of a few words."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from rrnet_cli.cli.app import run as run_in_process

STAGES = (
    ("extract", "digits", "--limit", "8"),
    ("build-graph", "--k-intra", "3"),
    ("train", "--epochs", "2"),
    ("eval", "--resamples", "50"),
)


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits through all four stages; not to be written to."""
    root = tmp_path_factory.mktemp("made") / "artifacts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a process of its own; libraries' own deprecations
        for stage in STAGES:
            assert run_in_process(["--quiet", "--artifacts", str(root), *stage]) == 0
    return root


@pytest.fixture
def store(made_store: Path, tmp_path: Path) -> Path:
    """A copy of it, in the place where the command looks by default."""
    return Path(shutil.copytree(made_store, tmp_path / "artifacts", symlinks=True))


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GloVe text file that knows five words."""
    path = tmp_path_factory.mktemp("vectors") / "five.txt"
    numbers = np.random.default_rng(0).normal(size=(5, 8))
    words = ("dog", "cat", "bird", "rain", "zero")
    lines = (
        word + " " + " ".join(f"{x:.4f}" for x in row)
        for word, row in zip(words, numbers, strict=True)
    )
    path.write_text("\n".join(lines) + "\n")
    return path


def version_folder(store: Path, kind: str) -> Path:
    """The only version of the only artifact of a kind."""
    (manifest,) = store.glob(f"{kind}/*/[0-9a-f]*/manifest.json")
    return manifest.parent
