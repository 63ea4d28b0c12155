"""Files that survive a crash: synced writes, put-if-absent renames, guarded reads.

Every change to the store goes through these few functions, in this order: write, sync the file,
sync its folder, rename, sync the parent. Nothing here knows what an artifact is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path

from rrnet_cli.errors import ResourceError

TEMPORARY = ".tmp-"
"""Prefix of what is being written; alive as long as its writer holds an flock on it."""

_HINTS = {
    errno.ENOSPC: "free some space (`rrnet artifacts gc --keep 1`) or point --artifacts elsewhere",
    errno.EDQUOT: "your quota is used up: free some space or point --artifacts elsewhere",
    errno.EROFS: "the folder is read-only: point --artifacts at one you can write to",
    errno.EACCES: "check the folder's permissions or point --artifacts elsewhere",
    errno.EPERM: "check the folder's permissions or point --artifacts elsewhere",
    errno.EIO: "the disk reports errors: check it, then run the stage again",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away",
}
EXHAUSTED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Errors that are the disk's fault wherever they come up."""
NOT_A_FILE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EINVAL})
"""How `open_regular` reports a link, or what is no regular file."""


def storage_error(action: str, path: Path, error: OSError) -> ResourceError:
    """Say in one sentence what could not be done where, and what to do about it."""
    reason = error.strerror or str(error)
    code = error.errno or 0
    return ResourceError(f"cannot {action} {path}: {reason}", _HINTS.get(code, "check the disk"))


@contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Turn any OSError inside into a ResourceError naming `path`."""
    try:
        yield
    except OSError as error:
        raise storage_error(action, path, error) from error


def write_synced(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write a new file, set its mode where one is given, and sync it."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(path: Path) -> None:
    """Create `path` and its parents, each synced into the folder above it."""
    if path.is_dir():
        return
    make_folders(path.parent)
    with suppress(FileExistsError):
        os.mkdir(path)
    sync_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """Write a small file atomically: readers see the old text or the new, never a part."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")
    try:
        write_synced(temporary, text.encode())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def rename_if_absent(source: Path, target: Path) -> bool:
    """Move a folder to `target` unless something is there: the commit, one atomic step.

    POSIX rename replaces only an *empty* folder, so whoever comes second fails.
    """
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    sync_folder(target.parent)
    return True


def move_aside(path: Path, prefix: str) -> Path | None:
    """Rename whatever is at `path` to a fresh hidden sibling; None when nothing was there.

    The caller syncs the folder, with whatever it renames next.
    """
    aside = path.with_name(f"{prefix}{path.name}-{secrets.token_hex(4)}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return None
    return aside


@contextmanager
def temporary_folder(parent: Path, label: str) -> Iterator[Path]:
    """Yield a new folder below `parent`, removed at the end unless it was renamed away.

    The folder is flocked while its maker lives. The kernel drops the lock even after SIGKILL, so
    `is_abandoned` is certain, without process numbers that get used again.
    """
    with ExitStack() as stack:
        while True:
            make_folders(parent)
            path = parent / f"{TEMPORARY}{label}-{secrets.token_hex(4)}"
            with suppress(FileNotFoundError):  # an emptied parent may be removed at any moment
                os.mkdir(path)
                stack.callback(remove_tree, path)
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, descriptor)
                with suppress(OSError):  # no flock on this file system: nobody can take it either
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():  # else gc took it between mkdir and flock
                    break
        yield path


def is_abandoned(path: Path) -> bool:
    """Tell whether the maker of a temporary is dead, i.e. nobody holds its flock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def remove_tree(path: Path) -> None:
    """Delete a file or folder as far as possible; what stays is for a later `gc`."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def tree(path: Path) -> list[Path]:
    """List what is below `path`, sorted, links unfollowed.

    `Path.rglob` would fail on a folder that another process removes while it looks.
    """
    return sorted(Path(at) / name for at, *names in os.walk(path) for name in chain(*names))


def tree_status(path: Path) -> Iterator[os.stat_result]:
    """Yield the status of `path` and of all below it, but of what goes meanwhile."""
    for entry in [path, *tree(path)]:
        with suppress(OSError):
            yield entry.lstat()


def tree_size(path: Path) -> int:
    """Add up the sizes of the regular files at or below `path`."""
    return sum(entry.st_size for entry in tree_status(path) if stat.S_ISREG(entry.st_mode))


def open_regular(folder: Path, name: str) -> int:
    """Open `folder/name` for reading without following a symbolic link at any step below `folder`.

    Returns:
        A descriptor that the caller closes.

    Raises:
        OSError: ELOOP or ENOTDIR for a link, EINVAL for what is no regular file, ENOENT, EIO, ….
    """
    *folders, leaf = name.split("/")
    where = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in folders:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=where)
            os.close(where)
            where = below
        # O_NONBLOCK: a FIFO planted here must not hang us before we see that it is one
        descriptor = os.open(leaf, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=where)
    finally:
        os.close(where)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(folder / name))
    return descriptor
