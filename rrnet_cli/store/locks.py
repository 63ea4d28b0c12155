"""One lock a version, so that two processes do not both spend hours on the same artifact.

The lock saves work; it does not guard correctness, which the put-if-absent commit does.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from rrnet_cli.errors import BusyError, ResourceError
from rrnet_cli.store.disk import storage_error

_MAX_HOLDER_BYTES = 64 * 1024


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: written into the lock file for those who wait.

    Attributes:
        inputs: References of the artifacts that the holder reads; `gc` leaves them alone.
    """

    pid: int
    host: str
    command: str
    inputs: tuple[str, ...] = ()

    @classmethod
    def this_process(cls, inputs: Sequence[str] = ()) -> Holder:
        """Describe the calling process."""
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        return cls(os.getpid(), socket.gethostname(), command[:500], tuple(inputs))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (`{self.command}`)"


def read_holder(path: Path) -> Holder | None:
    """Return what the lock file says of its holder, None when that is unreadable."""
    try:
        with path.open("rb") as file:
            record = json.loads(file.read(_MAX_HOLDER_BYTES))
        return Holder(
            int(record["pid"]),
            str(record["host"]),
            str(record["command"]),
            tuple(str(ref) for ref in record["inputs"]),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


@contextmanager
def hold(
    path: Path,
    what: str,
    *,
    timeout: float,
    inputs: Sequence[str] = (),
    note: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the lock file at `path`; flock lets go by itself when the holder dies.

    Args:
        path: The lock file; its folder exists.
        what: What is locked, for messages.
        timeout: Seconds to wait for another holder.
        inputs: See `Holder`.
        note: Told in one line when there is a wait.

    Raises:
        BusyError: Another process did not let go in time; names it.
        ResourceError: The lock file cannot be made.
    """
    lock = FileLock(str(path))
    try:
        _acquire(lock, path, what, timeout, note)
    except OSError as error:
        raise storage_error("lock", path, error) from error
    except NotImplementedError as error:
        raise ResourceError(f"cannot lock {path}: {error}", "use another file system") from error
    try:
        with suppress(OSError):  # the name is for messages only
            path.write_text(json.dumps(asdict(Holder.this_process(inputs))), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            os.truncate(path, 0)
        lock.release()


def _acquire(
    lock: FileLock, path: Path, what: str, timeout: float, note: Callable[[str], None] | None
) -> None:
    try:
        lock.acquire(timeout=0)
        return
    except Timeout:
        if note is not None and timeout > 0:
            note(f"waiting for {what}: held by {_holder_text(path)}")
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        raise BusyError(
            f"{what} is held by {_holder_text(path)}, and was not let go within {timeout:g} s",
            "wait for it to end, end it, or raise --lock-timeout",
        ) from None


def _holder_text(path: Path) -> str:
    return str(read_holder(path) or "another process, which left no readable name")


@contextmanager
def try_hold_existing(path: Path) -> Iterator[bool]:
    """Hold the lock while inside if nobody else does; yield whether it was free.

    No waiting, no name left behind, and no lock file made: without one, nobody holds it.
    """
    if not path.exists():
        yield True
        return
    lock = FileLock(str(path))
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
