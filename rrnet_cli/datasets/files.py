"""Finding raw files, decoding them on a few threads, and keeping count of the unreadable ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from rrnet_cli.datasets.base import OnError
from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.progress import Reporter
from rrnet_cli.runtime import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
MAX_THREADS = 8


class DecompressionBombError(InputError):
    """A file that would fill the memory: refused under every error policy."""


def printable(name: str) -> str:
    r"""`name` with bytes that are no UTF-8 written as ``\xNN``: safe in messages and JSON."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def need_path(data: Path | None, what: str) -> Path:
    """The path that the user gave, made absolute; it must exist and be readable.

    Args:
        data: The value of `--data`.
        what: What should be there, for the message: ``the ESC-50 repository folder``.

    Raises:
        ConfigError: No path was given.
        InputError: Nothing is there, or it is an archive, or it may not be read.
    """
    if data is None:
        raise ConfigError("this data set needs a path", f"name {what} with --data")
    path = Path(os.path.abspath(data.expanduser()))  # absolute, but symbolic links stay as given
    if not path.exists():
        raise InputError(f"{printable(str(data))} does not exist", f"name {what} with --data")
    if path.is_file() and path.suffix.lower() in ARCHIVES:
        raise InputError(f"{printable(path.name)} is an archive", "unpack it and name the folder")
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise InputError(f"{printable(str(data))} may not be read", "check its permissions")
    return path


def need_folder(data: Path | None, what: str) -> Path:
    """`need_path`, which must be a folder with something in it.

    Raises:
        ConfigError: No path was given.
        InputError: As `need_path`; or it is a file, or empty.
    """
    path = need_path(data, what)
    if not path.is_dir():
        raise InputError(
            f"{printable(str(data))} is a file, not a folder", f"name {what} with --data"
        )
    if not any(path.iterdir()):
        raise InputError(f"{printable(str(data))} is an empty folder", f"name {what} with --data")
    return path


def subfolders(folder: Path) -> list[Path]:
    """The folders directly below `folder`, without hidden ones, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def walk_files(folder: Path, suffixes: Sequence[str]) -> tuple[list[Path], int]:
    """Files at any depth below `folder` whose suffix is one of `suffixes`, sorted.

    Linked folders are followed, each real folder once, so that a loop of links ends. Hidden
    files, and what is no regular file (pipes, sockets, broken links), are passed over.

    Returns:
        The files, and the number of other regular files.
    """
    found: list[Path] = []
    others = 0
    seen: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(parent, name)
            if name.startswith(".") or not path.is_file():
                continue
            if path.suffix.lower() in suffixes:
                found.append(path)
            else:
                others += 1
    return sorted(found), others


def relative_name(path: Path, root: Path) -> str:
    """The id of a file: its path below `root`, POSIX style.

    Raises:
        InputError: The name is not UTF-8, so that no table or manifest could record it.
    """
    name = path.relative_to(root).as_posix()
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            f"the file name {printable(name)} is not UTF-8", "rename the file"
        ) from None
    return name


class Skips:
    """Keeps the error policy: raise at once, or list what could not be read.

    Args:
        on_error: ``fail`` or ``skip``.
        where: The data set, for messages.
    """

    def __init__(self, on_error: OnError, where: str) -> None:
        self.on_error = on_error
        self.where = where
        self.reasons: dict[str, str] = {}

    def add(self, name: str, error: InputError) -> None:
        """Record one unreadable file.

        Raises:
            InputError: `error` itself, where the policy is ``fail`` or it is a bomb.
        """
        if self.on_error == "fail" or isinstance(error, DecompressionBombError):
            if error.hint is None and self.on_error == "fail":
                error.hint = "mend or remove the file, or leave such files out: --on-error skip"
            raise error
        self.reasons[printable(name)] = error.message

    def settle(self, total: int, reporter: Reporter) -> None:
        """Say how many of `total` were left out.

        Raises:
            InputError: More than half: then it is not the files that are wrong.
        """
        if not self.reasons:
            return
        name, reason = next(iter(self.reasons.items()))
        count = f"{len(self.reasons):,} of {total:,} files of {self.where}"
        if 2 * len(self.reasons) > total:
            raise InputError(
                f"{count} are unreadable, more than half; the first is {name}: {reason}",
                "check that --data names the right folder and that its files are complete",
            )
        reporter.note(f"{count} are unreadable and left out; the first is {name}: {reason}")


def num_threads() -> int:
    """Threads to decode on: one a core that this process may use, at most `MAX_THREADS`."""
    return min(MAX_THREADS, usable_cores())


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], pool: ThreadPoolExecutor
) -> Iterator[Result]:
    """`work` of each item, in order; when the caller stops early, what waits is cancelled."""
    futures = [pool.submit(work, item) for item in items]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
