"""Interrupted by the command line's own signals, resumed by the same command: the same bytes."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from rrnet_cli.cli.app import run as run_in_process
from tests.conftest import PATIENCE, hear_interrupts

RRNET = [sys.executable, "-m", "rrnet_cli"]
TRAIN = ["train", "digits", "--epochs", "200", "--set", "patience=null"]


def rrnet(store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*RRNET, "--artifacts", str(store), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def digest(store: Path) -> str:
    (weights,) = store.glob("model/*/*/model.safetensors")
    return hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a small graph of digits."""
    root = tmp_path_factory.mktemp("prepared")
    path, store = root / "vectors.txt", root / "store"
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    path.write_text("".join(f"{word} {i} {i % 3} 1.5\n" for i, word in enumerate(words)))
    extract = ["extract", "digits", "--limit", "10", "--name", "digits"]
    graph = ["build-graph", "--k-intra", "3", "--k-inter", "5"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a process of its own
        for stage in ([*extract, "--word-vectors", str(path)], graph):
            assert run_in_process(["--quiet", "--artifacts", str(store), *stage]) == 0
    return store


@pytest.fixture(scope="module")
def uninterrupted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the weights that a run without interruption gives."""
    store = tmp_path_factory.mktemp("whole") / "store"
    shutil.copytree(prepared, store)
    assert rrnet(store, *TRAIN).returncode == 0
    return digest(store)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_train_resumes_to_the_same_bytes(
    number: signal.Signals, status: int, tmp_path: Path, prepared: Path, uninterrupted: str
) -> None:
    broken = tmp_path / "store"
    shutil.copytree(prepared, broken)
    with subprocess.Popen(
        [*RRNET, "--artifacts", str(broken), *TRAIN],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    ) as child:
        try:
            deadline = time.monotonic() + PATIENCE
            while not list(broken.glob(".work/*/*.safetensors")):
                assert child.poll() is None, child.communicate()
                assert time.monotonic() < deadline, "no checkpoint came"
                time.sleep(0.01)
            child.send_signal(number)
            _, stderr = child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
    assert child.returncode == status
    assert "Traceback" not in stderr
    assert not list(broken.glob("model/*/*/manifest.json")), "killed too late to be a test"

    assert rrnet(broken, *TRAIN).returncode == 0
    assert digest(broken) == uninterrupted
    assert not list(broken.glob(".work/*/*.safetensors"))
