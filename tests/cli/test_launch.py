from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rrnet_cli.cli import boundary, launch
from rrnet_cli.errors import DivergedError, ProcessLostError, ResourceError


@dataclass
class Ended:
    """What torch keeps of a process that failed."""

    exitcode: int
    error_file_data: dict[str, Any] = field(default_factory=dict)

    def signal_name(self) -> str:
        return "SIGKILL"


def said(error: BaseException, path: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """The end of a process that handed an error up."""
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(path))
    failure = boundary.classify(error)
    launch.hand_up(failure)
    return Ended(failure.exit_code, json.loads(path.read_text()))


def test_the_cause_is_said_and_not_its_consequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = said(ProcessLostError("Another process ended."), tmp_path / "lost", monkeypatch)
    stopped = said(KeyboardInterrupt(), tmp_path / "stopped", monkeypatch)
    diverged = said(DivergedError("It became nan.", "Lower it."), tmp_path / "wild", monkeypatch)
    killed = Ended(-9)

    cause = launch._cause({0: lost, 1: diverged}, 2)
    told = boundary.classify(cause)
    assert (told.kind, told.message, told.exit_code) == ("DivergedError", "It became nan.", 2)
    assert told.hint == "Lower it."

    cause = launch._cause({0: lost, 2: killed}, 3)
    assert isinstance(cause, ResourceError) and cause.message.startswith("process 2 of 3 was kill")
    assert "want of memory" in cause.message and cause.hint is not None

    assert isinstance(launch._cause({0: stopped, 1: lost}, 2), KeyboardInterrupt)
    assert boundary.classify(launch._cause({1: lost}, 2)).exit_code == 7


def test_torch_reads_what_a_process_hands_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

    path = tmp_path / "error.json"
    said(ResourceError("The disk is full."), path, monkeypatch)
    failure = ProcessFailure(local_rank=1, pid=1, exitcode=7, error_file=str(path))
    assert "The disk is full." in str(ChildFailedError("train", {1: failure}))


def test_who_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "3")  # of something else
    assert launch.speaks() and launch.rank() == 0 and not launch.is_member()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "some-job")
    assert launch.is_member() and launch.rank() == 3 and not launch.speaks()
    monkeypatch.setenv("RANK", "0")
    assert launch.speaks(), "torchrun itself words no error of ours"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", f"rrnet-{os.getppid()}")
    assert not launch.speaks()
