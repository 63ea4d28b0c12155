"""What an artifact says of itself: the manifest, written last and checked first."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_serializer

from rrnet_cli.errors import (
    ArtifactCorruptError,
    ArtifactFormatError,
    ArtifactMissingError,
)
from rrnet_cli.store import disk
from rrnet_cli.store.digests import Fingerprint, digest_json, parse_json, pretty_json
from rrnet_cli.store.reference import (
    FORMATS,
    MANIFEST,
    ArtifactRef,
    Key,
    is_file_name,
    version_digest,
)

MAX_MANIFEST_BYTES = 2**20
_MANIFEST_FORMAT = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]


class TensorRecord(_Record):
    """Element type (numpy's name) and shape of one tensor of a safetensors file."""

    dtype: str
    shape: tuple[Count, ...]


class FileRecord(_Record):
    """Size and digest of one file; of a table its rows and columns; of tensors their headers.

    Attributes:
        columns: (name, Arrow type) in order.
    """

    size: Count
    sha256: Digest
    rows: Count | None = None
    columns: tuple[tuple[str, str], ...] | None = None
    tensors: dict[str, TensorRecord] | None = None

    @model_serializer(mode="wrap")
    def _without_empty(self, serialise: Callable[[FileRecord], dict[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in serialise(self).items() if value is not None}


class Manifest(_Record):
    """What `manifest.json` holds: where an artifact comes from and what it is made of.

    Attributes:
        seed: The parameters' seed, where they have one.
        versions: Of toolkit, python and libraries at the time (None: not installed).
        created: UTC, ISO 8601 with microseconds: text order is time order.
        peak_memory_bytes: High-water mark of the process that made it.
        summary: The stage's own few figures, shown on the command line.
        digest: sha256 over the canonical JSON of all the rest.
    """

    manifest_format: int
    kind: str
    name: str
    version: str
    format: int
    params: dict[str, JsonValue]
    inputs: dict[str, ArtifactRef]
    data: Fingerprint | None
    seed: int | None
    versions: dict[str, str | None]
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00\z")]
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: Count
    summary: dict[str, JsonValue]
    files: dict[str, FileRecord]
    digest: Digest

    @property
    def ref(self) -> ArtifactRef:
        """The reference of the artifact."""
        return ArtifactRef(self.kind, self.name, self.version)


def render_manifest(key: Key, facts: Mapping[str, Any], files: Mapping[str, FileRecord]) -> bytes:
    """Return the bytes of `manifest.json`.

    Args:
        key: What was made.
        facts: The fields that are neither the key's nor the files'.
        files: A record for each file.

    Raises:
        ValueError: The summary is no JSON, or the manifest is larger than can be read back.
    """
    seed = key.params.get("seed")
    body = {
        **facts,
        "manifest_format": _MANIFEST_FORMAT,
        "kind": key.kind,
        "name": key.name,
        "version": key.version,
        "format": FORMATS[key.kind],
        "params": key.params,
        "inputs": {role: asdict(ref) for role, ref in key.inputs.items()},
        "data": asdict(key.data) if key.data else None,
        "seed": seed if isinstance(seed, int) else None,
        "files": {name: record.model_dump(mode="json") for name, record in files.items()},
    }
    data = pretty_json({**body, "digest": digest_json(body)}).encode()
    if len(data) > MAX_MANIFEST_BYTES:
        raise ValueError(f"the manifest has {len(data):,} bytes; keep the summary small")
    return data


def read_manifest(folder: Path, expected: ArtifactRef | None = None) -> Manifest:
    """Read and check the manifest of the version in `folder`.

    Args:
        folder: A version's folder.
        expected: Who it has to be, None for any.

    Raises:
        ArtifactMissingError: There is no manifest.
        ArtifactFormatError: A newer toolkit wrote it.
        ArtifactCorruptError: It is not what was written.
        ResourceError: It cannot be read.
    """
    where = folder / MANIFEST
    name = expected or folder.name
    raw = _read_manifest_bytes(folder, name)
    try:
        body = parse_json(raw)
        if not isinstance(body, dict):
            raise ValueError("not a JSON object")
    except ValueError as error:
        raise corrupt(f"{where} is no manifest: {error}", name) from error
    _refuse_newer(body, where)
    recorded = body.pop("digest", None)
    computed = digest_json(body)
    if recorded != computed:
        raise corrupt(f"{where}: recorded digest {recorded}, its content has {computed}", name)
    if raw != pretty_json({**body, "digest": computed}).encode():
        raise corrupt(f"{where} has bytes that no stage wrote", name)
    try:
        manifest = Manifest.model_validate_json(raw)
        claimed = manifest.ref
    except (ValidationError, ValueError) as error:
        raise corrupt(f"{where} is no manifest: {_first_line(error)}", name) from error
    _check_identity(manifest, claimed, expected, where)
    for file in manifest.files:
        if not is_file_name(file):
            raise corrupt(f"{where} lists {file!r}, which is no allowed file name", name)
    return manifest


def corrupt(message: str, ref: ArtifactRef | str) -> ArtifactCorruptError:
    """Make the error for bytes that are not what was written, with the way out."""
    return ArtifactCorruptError(
        message, f"`rrnet artifacts repair {ref}` sets it aside, then run its stage again"
    )


def _read_manifest_bytes(folder: Path, name: ArtifactRef | str) -> bytes:
    where = folder / MANIFEST
    try:
        with os.fdopen(disk.open_regular(folder, MANIFEST), "rb") as file:
            raw = file.read(MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError:
        raise _incomplete(folder) from None
    except OSError as error:
        if error.errno == errno.ENOTDIR and not os.path.lexists(folder):
            raise _incomplete(folder) from None  # a file stands somewhere above
        raise read_error(where, name, error) from error
    if len(raw) > MAX_MANIFEST_BYTES:
        raise corrupt(f"{where} is larger than {MAX_MANIFEST_BYTES:,} bytes", name)
    return raw


def _incomplete(folder: Path) -> ArtifactMissingError:
    return ArtifactMissingError(
        f"{folder} is incomplete: it has no {MANIFEST}", "run the stage that makes it again"
    )


def read_error(path: Path, ref: ArtifactRef | str, error: OSError) -> Exception:
    """Tell a planted link or pipe (corrupt) from a disk that cannot be read (resource)."""
    if error.errno in disk.NOT_A_FILE:
        return corrupt(f"{path} is a link or no regular file", ref)
    return disk.storage_error("read", path, error)


def _refuse_newer(body: Mapping[str, Any], where: Path) -> None:
    known = FORMATS.get(str(body.get("kind")), max(FORMATS.values()))
    for number, supported in (
        (body.get("manifest_format"), _MANIFEST_FORMAT),
        (body.get("format"), known),
    ):
        if isinstance(number, int) and number > supported:
            raise ArtifactFormatError(
                f"{where} has format {number}; this version of rrnet reads up to {supported}",
                "upgrade rrnet, or make the artifact again with this version",
            )


def _check_identity(
    manifest: Manifest, claimed: ArtifactRef, expected: ArtifactRef | None, where: Path
) -> None:
    content = version_digest(
        manifest.kind, manifest.format, manifest.params, manifest.inputs, manifest.data
    )
    if claimed.version != content:
        raise corrupt(f"{where}: recorded version {claimed.version}, content {content}", claimed)
    if expected is not None and claimed != expected:
        raise corrupt(f"{where} is that of {claimed}, under a wrong name", expected)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
