"""Versioned, content-verified artifacts on disk. Knows nothing of graphs or models."""

from __future__ import annotations

from rrnet_cli.store.artifact import Artifact
from rrnet_cli.store.digests import Fingerprint, fingerprint
from rrnet_cli.store.draft import Draft
from rrnet_cli.store.manifest import Manifest
from rrnet_cli.store.reference import FORMATS, ArtifactRef, Key
from rrnet_cli.store.store import Outcome, Store

__all__ = [
    "FORMATS",
    "Artifact",
    "ArtifactRef",
    "Draft",
    "Fingerprint",
    "Key",
    "Manifest",
    "Outcome",
    "Store",
    "fingerprint",
]
