"""Interrupted by the command line's own signals, resumed by the same command: the same bytes."""

from __future__ import annotations

import hashlib
import shutil
import signal
from pathlib import Path

import pytest

from tests.conftest import PATIENCE, begun, run_command

TRAIN = ("train", "--epochs", "200", "--set", "patience=null", "--name", "resumed")


def digest(store: Path) -> str:
    (weights,) = store.glob("model/resumed/*/model.safetensors")
    return hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def uninterrupted(made_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the weights that a run without interruption gives."""
    folder = tmp_path_factory.mktemp("whole")
    store = Path(shutil.copytree(made_store, folder / "artifacts", symlinks=True))
    assert run_command(*TRAIN, cwd=folder).code == 0
    return digest(store)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_train_resumes_to_the_same_bytes(
    number: signal.Signals, status: int, store: Path, uninterrupted: str
) -> None:
    def saved() -> bool:
        return any(store.glob(".work/*/*.safetensors"))

    with begun(*TRAIN, cwd=store.parent, until=saved) as child:
        child.send_signal(number)
        _, stderr = child.communicate(timeout=PATIENCE)
    assert child.returncode == status
    assert "Traceback" not in stderr
    assert not list(store.glob("model/resumed/*/manifest.json")), "killed too late to be a test"
    assert saved()

    assert run_command(*TRAIN, cwd=store.parent).code == 0
    assert digest(store) == uninterrupted
    assert not saved()
