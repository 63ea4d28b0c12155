from __future__ import annotations

import os
from pathlib import Path

import pytest

from rrnet_cli.store import Artifact, Store
from tests.store.samples import build, make_key


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the disk only in tests about it, which set `os.fsync` again themselves."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, notes: list[str]) -> Store:
    return Store(tmp_path / "artifacts", lock_timeout=20, note=notes.append)


@pytest.fixture
def artifact(store: Store) -> Artifact:
    """An artifact that was just made."""
    return store.materialise(make_key(), build).artifact
