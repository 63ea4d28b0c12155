"""Processes that stand or fall together: when one ends before its time, all end."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import platform
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from rrnet_cli.errors import ProcessLostError, ResourceError, RRNetError
from rrnet_cli.stages._bonds import Bonds

_GRACE = 1.0
"""Seconds in which the others may say what they know after a first failure."""
_FAREWELL = 10.0
"""Seconds in which those without a report may end by themselves, after all others have."""
_PR_SET_PDEATHSIG = 1
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Member:
    """One process.

    Attributes:
        name: As the user reads it.
        target: A function of a module; called as `target(*args)`, or `target(report, *args)`.
        args: What it takes; goes to the process by `multiprocessing`.
        reports: Whether it takes a function as `report`, whose arguments are heard, and its value
            is waited for.
    """

    name: str
    target: Callable[..., Any]
    args: tuple[Any, ...]
    reports: bool = False


@dataclass(frozen=True)
class _Running:
    member: Member
    process: SpawnProcess
    pipe: Connection


class Crew:
    """Some processes, killed when the block is left; use as a context manager.

    Args:
        members: In the order of their start.
        scratch: Folder for what they print.
        threads: For the numeric libraries of each.
        bonds: With those of other hosts.
    """

    def __init__(
        self, members: Sequence[Member], scratch: Path, threads: int, bonds: Bonds
    ) -> None:
        self.members, self.scratch, self.threads = members, scratch, threads
        self.bonds = bonds
        self.running: list[_Running] = []

    def __enter__(self) -> Crew:
        context = multiprocessing.get_context("spawn")
        try:
            with _environment({name: str(self.threads) for name in _THREADS}):
                for number, member in enumerate(self.members):
                    ours, theirs = context.Pipe(duplex=False)
                    log = self.scratch / f"{number}.log"
                    process = context.Process(target=_main, args=(member, theirs, log), daemon=True)
                    process.start()
                    theirs.close()
                    self.running.append(_Running(member, process, ours))
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kill()

    def result(self, heard: Callable[..., None]) -> Any:
        """Wait for all; what the members that report gave, the first one that is not None.

        Args:
            heard: Told what they report.

        Raises:
            RRNetError: A member raised it.
            ResourceError: A member ended otherwise before its time; names it.
            ProcessLostError: Another host's did.
        """
        results: dict[int, Any] = {}
        expected = {n for n, each in enumerate(self.running) if each.member.reports}
        while not expected <= set(results):
            pipes = [each.pipe for n, each in enumerate(self.running) if n not in results]
            ready = wait([*pipes, *self.bonds.open])
            self.bonds.check(ready)
            for number, each in enumerate(self.running):
                if each.pipe in ready and number not in results:
                    what, value = _receive(each.pipe)
                    if what == "report":
                        heard(*value)
                    elif what == "result":  # servers end when the last trainer says farewell
                        results[number] = value
                    else:
                        raise self._failure(number, what, value)
        deadline = time.monotonic() + _FAREWELL
        for each in self.running:
            each.process.join(max(0.0, deadline - time.monotonic()))
        self.bonds.part()
        return next((value for value in results.values() if value is not None), None)

    def _failure(self, number: int, what: str, value: Any) -> RRNetError:
        """What to tell: an error of ours, else who was killed, else who failed first.

        That a trainer lost another one is told only where nothing else is known.
        """
        found = {number: (what, value)}
        deadline = time.monotonic() + _GRACE
        for other, each in enumerate(self.running):
            while other not in found and each.pipe.poll(max(0.0, deadline - time.monotonic())):
                said = _receive(each.pipe)
                if said[0] != "report":
                    found[other] = said
        errors = [value for what, value in found.values() if what == "error"]
        for kind, message, hint in errors:
            if kind is not ProcessLostError:
                error: RRNetError = kind(message, hint)
                return error
        for other, (what, _) in found.items():
            each = self.running[other]
            each.process.join(_GRACE)
            if what == "end" and (each.process.exitcode or 0) < 0:
                name = signal.Signals(-(each.process.exitcode or 0)).name
                return _ended(each.member, f"was killed ({name})")
        for kind, message, hint in errors:
            lost: RRNetError = kind(message, hint)
            return lost
        each, (what, value) = self.running[number], found[number]
        return _ended(each.member, f"failed: {value}" if what == "failure" else "ended early")

    def _kill(self) -> None:
        for each in self.running:
            each.process.kill()
        for each in self.running:
            each.process.join()
            each.pipe.close()


def _ended(member: Member, how: str) -> ResourceError:
    return ResourceError(
        f"{member.name} {how}; all others were ended.",
        "See that memory and the ports suffice, then run the same command again: it resumes from "
        "the last checkpoint.",
    )


def _receive(pipe: Connection) -> tuple[str, Any]:
    try:
        said: tuple[str, Any] = pipe.recv()
    except (EOFError, OSError):
        return "end", None
    return said


def _main(member: Member, pipe: Connection, log: Path) -> None:
    """A member's process: it prints into its log, and dies with its parent."""
    if platform.system() == "Linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():  # nobody tells of a death before that
            os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends all
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    try:
        before = (lambda *said: pipe.send(("report", said)),) if member.reports else ()
        pipe.send(("result", member.target(*before, *member.args)))
    except RRNetError as error:
        pipe.send(("error", (type(error), error.message, error.hint)))
    except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
        traceback.print_exc()
        with contextlib.suppress(OSError):
            pipe.send(("failure", " ".join(f"{type(error).__name__}: {error}".split())))
    os._exit(0)  # DGL's own farewell waits for others that may be gone


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
