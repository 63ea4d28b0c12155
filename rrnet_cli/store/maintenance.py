"""Looking after a store: list, verify, repair, lineage, diff, garbage collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rrnet_cli.errors import (
    ArtifactFormatError,
    ArtifactMissingError,
    ConfigError,
    ResourceError,
    RRNetError,
)
from rrnet_cli.store.artifact import Artifact
from rrnet_cli.store.catalog import Catalog
from rrnet_cli.store.disk import tree_size
from rrnet_cli.store.manifest import Manifest, read_manifest
from rrnet_cli.store.reference import ArtifactRef
from rrnet_cli.store.store import Store


@dataclass(frozen=True)
class Entry:
    """One line of a listing.

    Attributes:
        manifest: None when it cannot be read.
        newest: Whether the name alone means this version.
        problem: What opening it raised.
    """

    ref: ArtifactRef
    bytes: int
    newest: bool
    manifest: Manifest | None
    problem: RRNetError | None


@dataclass(frozen=True)
class Lineage:
    """What an artifact was made from, and so on down to the raw data.

    Attributes:
        problem: Why the artifact cannot be read here, None when it can.
    """

    ref: ArtifactRef
    inputs: Mapping[str, Lineage]
    problem: str | None


def list_entries(catalog: Catalog, kind: str | None = None) -> list[Entry]:
    """List what there is, sound or not; content is not read."""
    entries: list[Entry] = []
    for (each_kind, name), group in groupby(catalog.refs(kind), lambda ref: (ref.kind, ref.name)):
        newest = catalog.newest(each_kind, name)
        for ref in group:
            artifact, problem = _try_open(catalog, ref)
            manifest = artifact.manifest if artifact else None
            size = tree_size(catalog.path(ref))
            entries.append(Entry(ref, size, ref == newest, manifest, problem))
    return entries


def verify(catalog: Catalog, ref: str | ArtifactRef) -> tuple[ArtifactRef, list[RRNetError]]:
    """Compare every byte of an artifact with its manifest; digests always, headers too.

    Returns:
        Which artifact that was, and all that is wrong with it.

    Raises:
        ConfigError, ArtifactMissingError: The reference means none.
    """
    try:
        own = ref if isinstance(ref, ArtifactRef) else catalog.locate(None, ref)
    except ArtifactMissingError:
        artifact = catalog.resolve(None, str(ref))  # a path outside this store
        return artifact.ref, _problems(artifact)
    try:
        return own, _problems(catalog.open(own))
    except RRNetError as error:
        return own, [error]


def repair(store: Store, ref: ArtifactRef) -> tuple[list[RRNetError], Path | None]:
    """Set a damaged artifact aside, so that its stage makes it again; leave a sound one alone.

    Returns:
        What is wrong with it, and where it lies now (None: nothing was wrong).

    Raises:
        ResourceError, ArtifactFormatError: It cannot be read, which setting aside does not mend.
    """
    _, problems = verify(store, ref)
    for error in problems:  # a disk that cannot be read, or a newer format, is no damage
        if isinstance(error, ResourceError | ArtifactFormatError):
            raise error
    store.mend_pointer(ref)
    return problems, store.set_aside(ref) if problems else None


def lineage(catalog: Catalog, ref: ArtifactRef) -> Lineage:
    """Follow an artifact's inputs; one that is gone or damaged ends its branch with a problem."""
    artifact, problem = _try_open(catalog, ref)
    inputs = artifact.manifest.inputs if artifact else {}
    # No cycles: a version is a digest over its inputs' versions.
    branches = {role: lineage(catalog, source) for role, source in inputs.items()}
    return Lineage(ref, branches, problem.message if problem else None)


def users(catalog: Catalog, ref: ArtifactRef) -> list[ArtifactRef]:
    """List the artifacts that were made directly from `ref`."""
    return [other for other, manifest in _manifests(catalog) if ref in manifest.inputs.values()]


def remove(store: Store, ref: ArtifactRef, *, force: bool = False) -> None:
    """Delete an artifact that no other was made from.

    Raises:
        ConfigError: Others were made from it, and `force` is off.
        ResourceError: It cannot be moved.
    """
    dependents = users(store, ref)
    if dependents and not force:
        listed = ", ".join(map(str, dependents[:10]))
        raise ConfigError(f"{ref} was used to make {listed}", "remove those first, or use --force")
    store.remove(ref)


def diff(left: Manifest, right: Manifest) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Compare two manifests: what differs, by section and dotted key, as (left, right) values.

    A key that one side does not have is None there. Files are compared by digest.
    """
    sections: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
        "params": (left.params, right.params),
        "inputs": (_texts(left.inputs), _texts(right.inputs)),
        "data": (_data(left), _data(right)),
        "versions": (left.versions, right.versions),
        "summary": (left.summary, right.summary),
        "files": (_digests(left), _digests(right)),
    }
    changes = {section: _changes(*pair) for section, pair in sections.items()}
    return {section: changed for section, changed in changes.items() if changed}


def _problems(artifact: Artifact) -> list[RRNetError]:
    checked = Artifact(artifact.path, artifact.manifest, verifies=True)
    return list(checked.problems())


def _changes(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    old, new = dict(_flatten(left)), dict(_flatten(right))
    return {
        key: (old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if key not in old or key not in new or old[key] != new[key]
    }


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _texts(refs: Mapping[str, ArtifactRef]) -> dict[str, str]:
    return {role: str(ref) for role, ref in refs.items()}


def _data(manifest: Manifest) -> dict[str, Any]:
    return vars(manifest.data) if manifest.data else {}


def _digests(manifest: Manifest) -> dict[str, str]:
    # no nesting: a file's name has dots of its own
    return {name: record.sha256 for name, record in manifest.files.items()}


def _try_open(catalog: Catalog, ref: ArtifactRef) -> tuple[Artifact | None, RRNetError | None]:
    try:
        return catalog.open(ref), None
    except RRNetError as error:
        return None, error


def _manifests(catalog: Catalog) -> Iterator[tuple[ArtifactRef, Manifest]]:
    for ref in catalog.refs():
        try:
            yield ref, read_manifest(catalog.path(ref), ref)
        except RRNetError:
            continue
