"""What an artifact is called, and the key that its version is a digest of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rrnet_cli.errors import ConfigError
from rrnet_cli.store.digests import JSON, Fingerprint, digest_json

FORMATS: Mapping[str, int] = {
    "baseline": 1,
    "shard": 1,
    "features": 1,
    "graph": 1,
    "partition": 1,
    "model": 1,
    "sweep": 1,
    "evaluation": 1,
}
"""The kinds of artifact and the format number that this version writes, and reads up to."""

STAGES: Mapping[str, str] = {
    "baseline": "rrnet extract --fit-only",
    "shard": "rrnet extract --shard",
    "features": "rrnet extract",
    "graph": "rrnet build-graph",
    "partition": "rrnet partition",
    "model": "rrnet train",
    "sweep": "rrnet sweep",
    "evaluation": "rrnet eval",
}
"""The command that makes each kind, for hints."""

MANIFEST = "manifest.json"

# Allow-lists: a denied list of `..`, `/`, `%2e`, `#`, NUL … has always had another hole.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[0-9a-f]{12}")
_FILE_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MAX_FILE_PARTS = 4


def is_name(text: str) -> bool:
    """Tell whether `text` may name an artifact."""
    return _NAME.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Tell whether `text` has the form of a version: 12 hex digits."""
    return _VERSION.fullmatch(text) is not None


def is_file_name(text: str) -> bool:
    """Tell whether `text` may name a file of an artifact, such as ``edges/a.intra.a.parquet``."""
    parts = text.split("/")
    return (
        len(parts) <= _MAX_FILE_PARTS
        and all(_FILE_PART.fullmatch(part) for part in parts)
        and text != MANIFEST
    )


@dataclass(frozen=True, order=True)
class ArtifactRef:
    """The full name of one version: ``features/esc10-logmel@0123456789ab``.

    Raises:
        ValueError: A part is not of the allowed form.
    """

    kind: str
    name: str
    version: str

    def __post_init__(self) -> None:
        if not (self.kind in FORMATS and is_name(self.name) and is_version(self.version)):
            raise ValueError(f"{self.kind}/{self.name}@{self.version} is no artifact reference")

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}@{self.version}"


@dataclass(frozen=True)
class Key:
    """What a stage is about to make: everything that decides the content, and a name for it.

    Attributes:
        kind: One of `FORMATS`.
        name: What people call it. Not part of the version, nor are paths, times or devices.
        params: The stage's full parameters, `settings.recorded()`.
        inputs: The artifacts it reads, by role.
        data: The raw data it reads, if any.

    Raises:
        ConfigError: The name is not of the allowed form.
        ValueError: An unknown kind, or parameters that JSON does not have.
    """

    kind: str
    name: str
    params: Mapping[str, JSON]
    inputs: Mapping[str, ArtifactRef] = field(default_factory=dict)
    data: Fingerprint | None = None

    def __post_init__(self) -> None:
        if self.kind not in FORMATS:
            raise ValueError(f"{self.kind!r} is none of the kinds {', '.join(FORMATS)}")
        if not is_name(self.name):
            raise ConfigError(
                f"{self.name!r} cannot be the name of an artifact",
                "use letters, digits, `.`, `_` and `-`, at most 100, a letter or digit first",
            )

    @property
    def version(self) -> str:
        """12 hex digits of the digest over kind, format, parameters, input versions and data."""
        return version_digest(self.kind, FORMATS[self.kind], self.params, self.inputs, self.data)

    @property
    def ref(self) -> ArtifactRef:
        """The reference that the artifact will have."""
        return ArtifactRef(self.kind, self.name, self.version)


def version_digest(
    kind: str,
    number: int,
    params: Mapping[str, Any],
    inputs: Mapping[str, ArtifactRef],
    data: Fingerprint | None,
) -> str:
    """Return the 12 digits that `Key.version` and a manifest's version have to be."""
    content = {
        "kind": kind,
        "format": number,
        "params": params,
        "inputs": {role: ref.version for role, ref in inputs.items()},
        "data": data.digest if data else None,
    }
    return digest_json(content)[:12]
