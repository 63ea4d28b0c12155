from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rrnet_cli.errors import ConfigError, ProcessLostError, ResourceError, RRNetError
from rrnet_cli.stages._bonds import Bonds
from rrnet_cli.stages._crew import Crew, Member
from tests.conftest import ROOT


def wait_for_ever() -> None:
    time.sleep(600)


def count(report: Callable[..., None], to: int) -> int:
    for number in range(to):
        report(number, "so far")
    return to


def wrong(report: Callable[..., None]) -> None:
    raise ConfigError("This is wrong.", "Do it right.")


def broken(report: Callable[..., None]) -> None:
    raise KeyError("what")


def killed(report: Callable[..., None]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def lost(report: Callable[..., None]) -> None:
    raise ProcessLostError("Another process ended.", "Again.")


def result(
    folder: Path, members: list[Member], heard: Callable[..., None] = lambda *said: None
) -> Any:
    crew = Crew(members, folder, 1, Bonds())
    try:
        with crew:
            return crew.result(heard)
    finally:
        assert not any(each.process.is_alive() for each in crew.running)


def test_what_members_say_and_give_is_heard(tmp_path: Path) -> None:
    said: list[tuple[Any, ...]] = []
    members = [Member("one", count, (2,), reports=True), Member("two", time.sleep, (0.01,))]
    assert result(tmp_path, members, lambda *some: said.append(some)) == 2
    assert said == [(0, "so far"), (1, "so far")]


@pytest.mark.parametrize(
    ("work", "kind", "what"),
    [
        (wrong, ConfigError, "This is wrong."),
        (broken, ResourceError, "The other failed: KeyError: 'what'; all others were ended."),
        (killed, ResourceError, "The other was killed (SIGKILL); all others were ended."),
        (lost, ProcessLostError, "Another process ended."),
    ],
)
def test_the_first_failure_ends_all(
    tmp_path: Path, work: Callable[..., None], kind: type[RRNetError], what: str
) -> None:
    members = [Member("The server", wait_for_ever, ()), Member("The other", work, (), reports=True)]
    with pytest.raises(RRNetError) as raised:
        result(tmp_path, members)
    assert type(raised.value) is kind
    assert raised.value.message == what


def test_who_was_killed_is_named_before_who_lost_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rrnet_cli.stages._crew._GRACE", 60.0)  # B may be slow to start
    members = [Member("A", lost, (), reports=True), Member("B", killed, (), reports=True)]
    with pytest.raises(ResourceError, match="B was killed"):
        result(tmp_path, members)


ABANDONING = """
import os, signal, sys
from pathlib import Path
from rrnet_cli.stages._bonds import Bonds
from rrnet_cli.stages._crew import Crew, Member
from tests.stages.test_crew import wait_for_ever
if __name__ == "__main__":
    crew = Crew([Member("The one", wait_for_ever, ())], Path(sys.argv[1]), 1, Bonds())
    crew.__enter__()
    print(crew.running[0].process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_has_not_begun_when_the_parent_is_killed_ends_too(tmp_path: Path) -> None:
    script = tmp_path / "abandoning.py"
    script.write_text(ABANDONING)
    # a file: whoever is left would hold the other end of a pipe
    with (tmp_path / "number").open("w") as number:
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=number,
            stderr=subprocess.DEVNULL,
        )
    assert done.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        member = psutil.Process(int((tmp_path / "number").read_text()))
        left = psutil.wait_procs([member], timeout=30)[1]
        for each in left:
            each.kill()
        assert not left
