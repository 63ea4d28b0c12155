"""Small artifacts, and the tools of an attacker: what several tests of the store share."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rrnet_cli.store import Artifact, ArtifactRef, Draft, Fingerprint, Key
from rrnet_cli.store.digests import digest_json, pretty_json

RAW = Fingerprint(files=2, bytes=10, digest="ab" * 32)


def make_key(name: str = "tiny", kind: str = "features", **params: Any) -> Key:
    return Key(kind, name, {"seed": 3, "lr": 0.01, **params}, {}, RAW)


def build(draft: Draft, shift: float = 0.0) -> None:
    """Write one file of every kind, one of them in a subfolder."""
    ids = pa.table(
        {"id": ["a", "b", "c"], "label": np.arange(3), "score": np.array([0.5, np.nan, 1], "f4")}
    )
    draft.write_table("instances.parquet", ids)
    draft.write_table("edges/audio.intra.audio.parquet", pa.table({"src": np.arange(50)}))
    draft.write_tensors(
        "features.safetensors",
        {"text": np.ones((2, 4), "f4"), "audio": np.arange(6, dtype="f4").reshape(3, 2) + shift},
    )
    draft.write_json("metrics.json", {"top1": 0.5})
    draft.path("plots/curve.png").write_bytes(b"\x89PNG not really")
    draft.summary["instances"] = 3


FILES = (
    "instances.parquet",
    "edges/audio.intra.audio.parquet",
    "features.safetensors",
    "metrics.json",
    "plots/curve.png",
)
READERS: dict[str, Callable[[Artifact, str], Any]] = {
    "parquet": Artifact.table,
    "safetensors": Artifact.arrays,
    "json": Artifact.json,
    "png": Artifact.file,
}


def read(artifact: Artifact, name: str) -> Any:
    return READERS[name.rpartition(".")[2]](artifact, name)


def overwrite(path: Path, data: bytes) -> None:
    """Change a read-only file and make it look untouched."""
    mode, times = path.stat().st_mode, path.stat()
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(mode)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def forge(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit a manifest and sign it again, as an attacker who knows the format would."""
    path = folder / "manifest.json"
    body = json.loads(path.read_bytes())
    edit(body)
    body.pop("digest", None)
    overwrite(path, pretty_json({**body, "digest": digest_json(body)}).encode())


def plant(folder: Path, name: str, data: bytes, **record: Any) -> None:
    """Put hostile bytes in the place of a file and let the manifest vouch for them."""
    overwrite(folder / name, data)

    def vouch(body: dict[str, Any]) -> None:
        body["files"][name] |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        body["files"][name] |= record

    forge(folder, vouch)


def tree(folder: Path) -> dict[str, str]:
    """Name and digest of every file below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def ref(version: str = "0123456789ab", kind: str = "features", name: str = "x") -> ArtifactRef:
    return ArtifactRef(kind, name, version)
