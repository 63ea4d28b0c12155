"""A second process, a signal and the run after it, through the real command."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import begun, run_command

TRAIN = ("train", "--epochs", "20000", "--quiet")


@pytest.fixture
def training(store: Path) -> Iterator[subprocess.Popen[str]]:
    """A training that has made its first checkpoint and would go on for long."""
    with begun(*TRAIN, cwd=store.parent, until=lambda: any(store.glob(".work/*/*"))) as process:
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_130_and_leaves_the_store_sound(
    training: subprocess.Popen[str], store: Path, number: signal.Signals
) -> None:
    before = sorted(store.glob("model/*/[0-9a-f]*"))
    if number is signal.SIGTERM:
        busy = run_command(*TRAIN, "--lock-timeout", "0.2", cwd=store.parent)
        assert busy.code == 6 and str(training.pid) in busy.err, busy
        assert len(busy.error_lines) == 1

    training.send_signal(number)
    out, err = training.communicate(timeout=60)
    assert (training.returncode, out) == (130, "")
    assert [line for line in err.splitlines() if line.startswith("error:")] == [
        "error: interrupted"
    ]
    assert sorted(store.glob("model/*/[0-9a-f]*")) == before
    assert any(store.glob(".work/*/*")), "the checkpoint stays for the next run"
    assert run_command("artifacts", "verify", "--all", cwd=store.parent).code == 0
