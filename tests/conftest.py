"""What all tests share: the real command as a subprocess, and in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "rrnet_cli")
PATIENCE = 600
"""Seconds that a test waits at most for what comes within some on an idle machine."""

settings.register_profile("rrnet", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("rrnet")


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout; anything beside it is an error."""
        return json.loads(self.out)

    @property
    def error_lines(self) -> list[str]:
        """Lines of stderr that name an error."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


def clean_environment() -> dict[str, str]:
    """That of these tests, with nothing of the user's settings."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RRNET_")}
    return clean | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def run_command(
    *args: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = PATIENCE
) -> Result:
    """Run `rrnet ARGS` as its own process, with nothing of the user's settings."""
    done = subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env=clean_environment() | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def hear_interrupts() -> None:
    """For `preexec_fn`: background jobs of a shell start deaf to SIGINT and pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def begun(
    *args: str | Path, cwd: Path, until: Callable[[], bool]
) -> Iterator[subprocess.Popen[str]]:
    """`rrnet ARGS` as the leader of a process group, once `until()` holds; all of it ends after.

    Raises:
        AssertionError: It ended, or `PATIENCE` did, before that.
    """
    process = subprocess.Popen(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "what was waited for did not come"
            time.sleep(0.02)
        yield process
    finally:
        with process, suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def invoke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """The command in this process, without the user's settings: milliseconds, no process."""
    from rrnet_cli.cli.app import run as run_in_process

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in [key for key in os.environ if key.startswith("RRNET_")]:
        monkeypatch.delenv(name)

    def run(*args: str | Path) -> Result:
        capsys.readouterr()
        code = run_in_process([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
