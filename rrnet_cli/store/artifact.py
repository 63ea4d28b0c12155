"""Reading an artifact: every file is checked against the manifest before it is parsed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rrnet_cli.errors import ArtifactMissingError, ResourceError, RRNetError
from rrnet_cli.store import disk, tables, tensors
from rrnet_cli.store.digests import parse_json
from rrnet_cli.store.manifest import FileRecord, Manifest, corrupt, read_error, read_manifest
from rrnet_cli.store.reference import FORMATS, MANIFEST, STAGES, ArtifactRef, Key

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    import torch

__all__ = ["FORMATS", "Artifact", "ArtifactRef", "FileRecord", "Key", "Manifest"]

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True)
class Artifact:
    """One version on disk, read-only. Make one with `Artifact.open` or `Store.resolve`.

    Sizes are always compared. Digests are too, once a file and object, whatever the mode bits
    say, unless `verifies` is off.

    Attributes:
        path: The version's folder.
        manifest: Its checked manifest.
        verifies: Whether digests are compared (`--no-verify` turns it off).
    """

    path: Path
    manifest: Manifest
    verifies: bool = True
    _verified: set[str] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def open(
        cls, path: Path, expected: ArtifactRef | None = None, *, verify: bool = True
    ) -> Artifact:
        """Read the manifest in `path` and see that every file it lists is there.

        Raises:
            ArtifactMissingError: The manifest or a file is not there; names it.
            ArtifactFormatError: A newer toolkit wrote it.
            ArtifactCorruptError: The manifest is not what was written.
            ResourceError: It cannot be read.
        """
        artifact = cls(path, read_manifest(path, expected), verify)
        for name in artifact.manifest.files:
            if not os.path.lexists(path / name):
                raise artifact._missing(name)
        return artifact

    @property
    def ref(self) -> ArtifactRef:
        """Its full reference."""
        return self.manifest.ref

    def table(self, name: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
        """Read a Parquet file, all columns or some; page checksums are verified too.

        Raises:
            RRNetError: As `file`; ResourceError also when it does not fit into memory.
        """
        data, record = self._bytes(name), self._record(name)
        return self._parse(name, lambda: tables.read_table(data, record, columns))

    def parts(self, name: str) -> Iterator[pyarrow.Table]:
        """Read a Parquet file some rows at a time; together they are what `table` reads.

        Raises:
            RRNetError: As `table`, when the first or a later part is asked for.
        """
        path, record = self.file(name), self._record(name)
        parts = self._parse(name, lambda: tables.read_parts(path, record))
        while (part := self._parse(name, lambda: next(parts, None))) is not None:
            yield part

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Memory-map a safetensors file as torch tensors.

        Raises:
            RRNetError: As `file`.
        """
        path = self.file(name)
        return self._parse(name, lambda: tensors.read_tensors(path, self._record(name)))

    def arrays(self, name: str) -> dict[str, np.ndarray[Any, Any]]:
        """Read a safetensors file as numpy arrays.

        Raises:
            RRNetError: As `file`.
        """
        path = self.file(name)
        return self._parse(name, lambda: tensors.read_arrays(path, self._record(name)))

    def json(self, name: str) -> Any:
        """Parse a JSON file.

        Raises:
            RRNetError: As `file`.
        """
        data = self._bytes(name)
        return self._parse(name, lambda: parse_json(data))

    def file(self, name: str) -> Path:
        """Return the path of a file whose size and digest were compared.

        Raises:
            ArtifactMissingError: The manifest does not list it, or it is not there.
            ArtifactCorruptError: It differs from the manifest; names it and both digests.
            ResourceError: It cannot be read.
        """
        if name not in self._verified:
            with self._opened(name) as descriptor:
                self._check(name, descriptor)
        return self.path / name

    def verify(self) -> None:
        """Compare every file with the manifest.

        Raises:
            RRNetError: The first failure, as `file`.
        """
        for name in self.manifest.files:
            self.file(name)

    def problems(self) -> Iterator[RRNetError]:
        """Yield everything that is wrong: content, headers, and files that nobody wrote."""
        for name, record in self.manifest.files.items():
            try:
                if record.columns is not None:
                    data = self._bytes(name)
                    self._parse(name, lambda d=data, r=record: tables.check_table(d, r))  # type: ignore[misc]
                elif record.tensors is not None:
                    path = self.file(name)
                    self._parse(name, lambda p=path, r=record: tensors.check_tensors(p, r))  # type: ignore[misc]
                else:
                    self.file(name)
            except RRNetError as error:
                yield error
        for path in disk.tree(self.path):
            name = path.relative_to(self.path).as_posix()
            foreign = name not in self.manifest.files and name != MANIFEST
            if foreign and (path.is_symlink() or not path.is_dir()):
                yield corrupt(f"{self.ref}: {name} is not in its manifest", self.ref)

    def _bytes(self, name: str) -> bytes:
        """Read a whole file and check those very bytes."""
        with self._opened(name) as descriptor:
            with os.fdopen(os.dup(descriptor), "rb") as file:
                data = file.read(self._record(name).size + 1)
            self._check(name, descriptor, data)
        return data

    def _check(self, name: str, descriptor: int, data: bytes | None = None) -> None:
        record = self._record(name)
        size = os.fstat(descriptor).st_size if data is None else len(data)
        if size != record.size:
            actual = os.fstat(descriptor).st_size
            raise corrupt(
                f"{self.ref}: {name} has {actual:,} bytes, its manifest says {record.size:,} "
                f"(sha256 {record.sha256}, now {_digest(descriptor)})",
                self.ref,
            )
        if not self.verifies or name in self._verified:
            return
        digest = _digest(descriptor) if data is None else hashlib.sha256(data).hexdigest()
        if digest != record.sha256:
            raise corrupt(
                f"{self.ref}: {name} has sha256 {digest}, its manifest says {record.sha256}",
                self.ref,
            )
        self._verified.add(name)

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        self._record(name)
        try:
            descriptor = disk.open_regular(self.path, name)
        except FileNotFoundError:
            raise self._missing(name) from None
        except OSError as error:
            raise read_error(self.path / name, self.ref, error) from error
        try:
            with disk.storage_errors("read", self.path / name):
                yield descriptor
        finally:
            os.close(descriptor)

    def _record(self, name: str) -> FileRecord:
        try:
            return self.manifest.files[name]
        except KeyError:
            raise ArtifactMissingError(
                f"{self.ref} has no file {name}", f"it has: {', '.join(self.manifest.files)}"
            ) from None

    def _missing(self, name: str) -> ArtifactMissingError:
        recorded = self.manifest.files[name].sha256
        return ArtifactMissingError(
            f"{self.ref} is incomplete: {name} (sha256 {recorded}) is not there",
            f"run its stage again: `{STAGES[self.ref.kind]}`",
        )

    def _parse(self, name: str, parse: Callable[[], _Parsed]) -> _Parsed:
        try:
            return parse()
        except MemoryError as error:
            raise ResourceError(
                f"{self.ref}: {name} does not fit into memory", "free memory, or limit the data"
            ) from error
        except ValueError as error:
            raise corrupt(f"{self.ref}: {name} is {error}", self.ref) from error


def _digest(descriptor: int) -> str:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
