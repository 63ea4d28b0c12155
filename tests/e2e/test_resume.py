"""Ended by the command line's own signals, resumed by the same command: the same bytes."""

from __future__ import annotations

import hashlib
import shutil
import signal
from pathlib import Path

from tests.conftest import PATIENCE, Result, begun, run_command

TRAIN = ("train", "--epochs", "200", "--set", "patience=null", "--name", "resumed")


def weights(store: Path) -> list[str]:
    """Digests of what a finished training leaves."""
    models = store.glob("model/resumed/*/model.safetensors")
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in models]


def checkpoints(store: Path) -> set[str]:
    return {file.name for file in store.glob(".work/*/*.safetensors")}


def ended_by(number: signal.Signals, store: Path, *, busy: bool = False) -> Result:
    """What a training says that gets a signal once it has made a checkpoint of its own.

    Args:
        number: The signal.
        store: Where it trains.
        busy: Try a second one meanwhile, which is refused.
    """
    earlier = checkpoints(store)
    with begun(*TRAIN, cwd=store.parent, until=lambda: bool(checkpoints(store) - earlier)) as child:
        if busy:
            child.send_signal(signal.SIGSTOP)  # lest it ends before the second one has begun
            second = run_command(*TRAIN, "--lock-timeout", "0.2", cwd=store.parent)
            assert second.code == 6 and str(child.pid) in second.err, second
            assert len(second.error_lines) == 1
            child.send_signal(signal.SIGCONT)
        child.send_signal(number)
        out, err = child.communicate(timeout=PATIENCE)
    return Result(child.returncode, out, err)


def test_train_resumes_to_the_same_bytes(made_store: Path, store: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(made_store, tmp_path / "whole/artifacts", symlinks=True))
    assert run_command(*TRAIN, cwd=whole.parent).code == 0

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        result = ended_by(number, store, busy=number is signal.SIGTERM)
        if number is signal.SIGKILL:
            assert (result.code, result.error_lines) == (-number, [])
        else:
            assert (result.code, result.out) == (130, "")
            assert result.error_lines == ["error: interrupted"]
        assert "Traceback" not in result.err
        assert not weights(store), "ended too late to be a test"
        assert checkpoints(store), "they stay for the next run"
    assert run_command("artifacts", "verify", "--all", cwd=store.parent).code == 0

    assert run_command(*TRAIN, cwd=store.parent).code == 0
    assert weights(store) == weights(whole) != []
    assert not checkpoints(store)
