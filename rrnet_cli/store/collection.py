"""Garbage collection: what nobody can be using any more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rrnet_cli.errors import ConfigError, RRNetError
from rrnet_cli.store import disk, locks
from rrnet_cli.store.catalog import subfolders
from rrnet_cli.store.manifest import Manifest, read_manifest
from rrnet_cli.store.reference import FORMATS, ArtifactRef
from rrnet_cli.store.store import BAD, LOCKS, OLD, WORK, Store

DAYS = 7.0
"""Checkpoints of interrupted builds and damaged artifacts set aside are kept so long."""


@dataclass(frozen=True)
class Collected:
    """One thing that was removed, or would be.

    Attributes:
        path: Relative to the store, POSIX.
        reason: In a few words.
        bytes: What it takes.
    """

    path: str
    reason: str
    bytes: int


def collect(
    store: Store, *, keep: int | None = None, dry_run: bool = False, days: float = DAYS
) -> list[Collected]:
    """Remove leftovers, and with `keep` all but the newest versions of every name.

    Never touched: temporaries whose maker lives, checkpoints and versions whose lock is held, the
    inputs of a running stage, and whatever a kept artifact was made from, however indirectly.

    Args:
        store: What to clean.
        keep: Versions of a name to keep, at least 1; None: all.
        dry_run: Only say what would go.
        days: Age from which checkpoints and damaged artifacts go.

    Raises:
        ConfigError: `keep` is below 1.
        ResourceError: The store cannot be read or changed.
    """
    if keep is not None and keep < 1:
        raise ConfigError(f"--keep {keep} would keep nothing", "keep at least 1")
    removed: list[Collected] = []
    for path, reason in [*_leftovers(store, days), *_old_workspaces(store, days)]:
        removed.append(_describe(store, path, reason))
        if not dry_run:
            disk.remove_tree(path)
    for ref in _superseded(store, keep) if keep is not None else []:
        with locks.try_hold_existing(store.lock_path(ref)) as free:
            if not free:  # being made anew at this moment
                continue
            removed.append(_describe(store, store.path(ref), f"not among the newest {keep}"))
            if not dry_run:
                store.remove(ref)
    if not dry_run:
        _remove_old_locks(store, days)
        for ref in {(ref.kind, ref.name): ref for ref in store.refs()}.values():
            store.mend_pointer(ref)
    return removed


def _leftovers(store: Store, days: float) -> Iterator[tuple[Path, str]]:
    for kind in FORMATS:
        for folder in subfolders(store.root / kind):
            for path in _files(folder):
                if path.name.startswith(disk.TEMPORARY) and disk.is_abandoned(path):
                    yield path, "left by a process that is gone"
                elif path.name.startswith(OLD):
                    yield path, "replaced or removed"
                elif path.name.startswith(BAD) and _is_older(path, days):
                    yield path, f"damaged, set aside over {days:g} days ago"


def _old_workspaces(store: Store, days: float) -> Iterator[tuple[Path, str]]:
    for path in subfolders(store.root / WORK):
        with locks.try_hold_existing(store.root / LOCKS / f"{path.name}.lock") as free:
            if free and _is_older(path, days):
                yield path, f"checkpoints of a run that stopped over {days:g} days ago"


def _superseded(store: Store, keep: int) -> list[ArtifactRef]:
    """List versions beyond the newest `keep` of their name that nothing kept depends on."""
    manifests = dict(_readable(store))
    kept = {
        ref
        for _, group in groupby(sorted(manifests), lambda ref: (ref.kind, ref.name))
        for ref in sorted(group, key=lambda ref: manifests[ref].created)[-keep:]
    }
    needed = _ancestors(kept | _running_inputs(store), manifests)
    return [ref for ref in manifests if ref not in needed]


def _ancestors(
    refs: set[ArtifactRef], manifests: Mapping[ArtifactRef, Manifest]
) -> set[ArtifactRef]:
    """Return the references and everything that they were made from."""
    found: set[ArtifactRef] = set()
    pending = list(refs)
    while pending:
        ref = pending.pop()
        if ref not in found:
            found.add(ref)
            pending.extend(manifests[ref].inputs.values() if ref in manifests else ())
    return found


def _running_inputs(store: Store) -> set[ArtifactRef]:
    """Return what the stages that run now said they read."""
    texts: set[str] = set()
    for path in _files(store.root / LOCKS):
        with locks.try_hold_existing(path) as free:
            holder = None if free else locks.read_holder(path)
            texts.update(holder.inputs if holder else ())
    return {ref for ref in store.refs() if str(ref) in texts}


def _remove_old_locks(store: Store, days: float) -> None:
    for path in _files(store.root / LOCKS):
        if _is_older(path, days):
            with locks.try_hold_existing(path) as free:
                if free:
                    disk.remove_tree(path)


def _readable(store: Store) -> Iterator[tuple[ArtifactRef, Manifest]]:
    for ref in store.refs():
        try:
            yield ref, read_manifest(store.path(ref), ref)
        except RRNetError:
            continue  # damaged ones are for `verify` and `repair`: never deleted unseen


def _is_older(path: Path, days: float) -> bool:
    """Tell whether `path` is there, and nothing at or below it changed for so many days."""
    newest = max((entry.st_mtime for entry in disk.tree_status(path)), default=None)
    return newest is not None and newest < time.time() - days * 86400


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _describe(store: Store, path: Path, reason: str) -> Collected:
    return Collected(path.relative_to(store.root).as_posix(), reason, disk.tree_size(path))
