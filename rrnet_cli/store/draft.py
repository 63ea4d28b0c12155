"""An artifact in the making: what a stage writes into, and how it is sealed."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rrnet_cli import __version__
from rrnet_cli.store import disk, tables, tensors
from rrnet_cli.store.digests import JSON, pretty_json
from rrnet_cli.store.manifest import FileRecord, render_manifest
from rrnet_cli.store.reference import MANIFEST, Key, is_file_name

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    import torch

_Written = TypeVar("_Written")
_LIBRARIES = ("torch", "dgl", "numpy", "pyarrow")


@dataclass(frozen=True)
class Draft:
    """Where a stage writes its files; nobody sees them before the commit.

    Attributes:
        folder: A temporary folder next to where the version will be.
        summary: The stage's own few figures, for the manifest; small.
    """

    folder: Path
    summary: dict[str, JSON] = field(default_factory=dict)
    _records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Return where to write a file in a format of one's own, its folder made.

        Raises:
            ValueError: The name is not of the allowed form.
        """
        if not is_file_name(name):
            raise ValueError(f"{name!r} is no allowed file name in an artifact")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_table(self, name: str, table: pyarrow.Table) -> None:
        """Write a Parquet file; see `tables.write_table`."""
        self._records[name] = self._write(name, lambda path: tables.write_table(path, table))

    def write_tensors(
        self, name: str, tensors_by_name: Mapping[str, torch.Tensor | np.ndarray[Any, Any]]
    ) -> None:
        """Write a safetensors file; see `tensors.write_tensors`."""
        self._records[name] = self._write(
            name, lambda path: tensors.write_tensors(path, tensors_by_name)
        )

    def write_json(self, name: str, value: JSON) -> None:
        """Write a JSON file: indented, keys sorted.

        Raises:
            ValueError: The value has a NaN or is otherwise no JSON.
        """
        text = pretty_json(value)
        self._write(name, lambda path: path.write_text(text, encoding="utf-8"))

    def _write(self, name: str, write: Callable[[Path], _Written]) -> _Written:
        path = self.path(name)
        if path.exists():
            raise ValueError(f"{name!r} is written twice")
        with disk.storage_errors("write", path):
            return write(path)


class Meter:
    """Time, processor time and memory of a build, from its making on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), _cpu_seconds()

    def read(self) -> dict[str, float | int]:
        """Return the three figures as the manifest's fields."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "wall_seconds": round(time.monotonic() - self._wall, 3),
            "cpu_seconds": round(_cpu_seconds() - self._cpu, 3),
            "peak_memory_bytes": usage.ru_maxrss * 1024,
        }


def seal(draft: Draft, key: Key, meter: Meter) -> None:
    """Digest and sync every file, make it read-only, and write the manifest last of all.

    Raises:
        ValueError: The stage left a link, a pipe or a file with a name that is not allowed.
        OSError: From the disk.
    """
    folders = [draft.folder]
    files: dict[str, FileRecord] = {}
    for path in sorted(draft.folder.rglob("*")):
        name = path.relative_to(draft.folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            folders.append(path)
        elif path.is_symlink() or not path.is_file() or not is_file_name(name):
            raise ValueError(f"a stage may not leave {name!r} in its artifact")
        else:
            files[name] = _seal_file(path, draft._records.get(name, {}))
    for folder in folders[1:]:
        disk.sync_folder(folder)
    facts = {
        "versions": library_versions(),
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "summary": draft.summary,
        **meter.read(),
    }
    manifest = render_manifest(key, facts, files)
    disk.write_synced(draft.folder / MANIFEST, manifest, _read_only(draft.folder))
    disk.sync_folder(draft.folder)


def _seal_file(path: Path, content: Mapping[str, Any]) -> FileRecord:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fchmod(file.fileno(), _read_only(path.parent))
        os.fsync(file.fileno())
        return FileRecord(size=file.tell(), sha256=digest, **content)


def _read_only(folder: Path) -> int:
    """0444, less what the user's umask kept from others when the folder was made."""
    return folder.stat().st_mode & 0o444


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@cache
def library_versions() -> Mapping[str, str | None]:
    """Return the versions of what makes artifacts, without importing any of it."""
    versions: dict[str, str | None] = {"rrnet": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            versions[library] = None
    return versions
