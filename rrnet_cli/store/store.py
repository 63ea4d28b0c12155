"""The store: find an artifact by its inputs, or build it and commit it in one atomic step.

``ROOT/<kind>/<name>/<version>/`` with a ``latest`` pointer beside the versions. Hidden siblings are
on their way in (``.tmp-``), out (``.old-``) or set aside (``.bad-``); ``ROOT/.locks`` and
``ROOT/.work`` hold locks and checkpoints. A version comes about only by the rename of a complete,
synced folder.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from rrnet_cli.errors import ArtifactMissingError, ResourceError
from rrnet_cli.store import disk, locks
from rrnet_cli.store.artifact import Artifact
from rrnet_cli.store.catalog import POINTER, Catalog
from rrnet_cli.store.draft import Draft, Meter, seal
from rrnet_cli.store.manifest import read_manifest
from rrnet_cli.store.reference import ArtifactRef, Key

OLD, BAD = ".old-", ".bad-"
"""Prefixes of versions that were replaced or removed, and of damaged ones that were set aside."""
LOCKS, WORK = ".locks", ".work"
_COMMIT_ATTEMPTS = 5


@dataclass(frozen=True)
class Outcome:
    """What a stage gives back: the artifact, and whether it was there already."""

    artifact: Artifact
    cached: bool


class Store(Catalog):
    """Versioned artifacts below one folder, for reading and making.

    Args:
        root: The folder; made when something is first written.
        verify: Compare digests on reading.
        lock_timeout: Seconds to wait for another process that makes the same version.
        note: Told in one line of waits, lost races and other news for the user.
    """

    def __init__(
        self,
        root: Path,
        *,
        verify: bool = True,
        lock_timeout: float = 600.0,
        note: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(root, verify=verify)
        self.lock_timeout = lock_timeout
        self.note = note or (lambda message: None)

    def find(self, key: Key) -> Artifact | None:
        """Return the complete, verified artifact of a key; None when it is not there in full.

        Raises:
            ArtifactCorruptError: It is there, but its bytes are not what was written.
            ResourceError: It cannot be read.
        """
        try:
            artifact = self.open(key.ref)
            artifact.verify()
        except ArtifactMissingError:
            return None
        return artifact

    def materialise(
        self, key: Key, build: Callable[[Draft], None], *, force: bool = False
    ) -> Outcome:
        """Return the artifact of a key, built if it is not there.

        Args:
            key: What is wanted.
            build: Writes the files into a `Draft`.
            force: Build anew and put it in the place of what is there, even of a corrupt one.

        Raises:
            ArtifactCorruptError: As `find`.
            BusyError: Another process is making it and did not end in time.
            ResourceError: It cannot be written; nothing half-written is left.
        """
        if not force and (found := self.find(key)) is not None:
            return self._cached(found)
        with self.lock(key):
            if not force and (found := self.find(key)) is not None:
                return self._cached(found)
            outcome = self._build(key, build, force)
            disk.remove_tree(self._work_path(key))
        self.mend_pointer(key.ref)
        return outcome

    def workspace(self, key: Key) -> Path:
        """Return a folder for checkpoints of a build, the same for every run of the same key.

        It outlives a killed run and goes with the commit, or with `gc` when nobody came back.

        Raises:
            ResourceError: It cannot be made.
        """
        path = self._work_path(key)
        with disk.storage_errors("create", path):
            disk.make_folders(path)
        return path

    def lock(self, key: Key) -> AbstractContextManager[None]:
        """Hold the version's lock: others who want to make the same wait. See `locks.hold`."""
        path = self.lock_path(key.ref)
        with disk.storage_errors("create", path.parent):
            disk.make_folders(path.parent)
        inputs = [str(ref) for ref in key.inputs.values()]
        return locks.hold(
            path, str(key.ref), timeout=self.lock_timeout, inputs=inputs, note=self.note
        )

    def lock_path(self, ref: ArtifactRef) -> Path:
        """Return the lock file of a version, whatever its name."""
        return self.root / LOCKS / f"{ref.kind}-{ref.version}.lock"

    def remove(self, ref: ArtifactRef) -> None:
        """Delete a version; it is gone in one step, its bytes follow.

        Raises:
            ResourceError: It cannot be moved.
        """
        aside = self._move_aside(ref, OLD)
        if aside is not None:
            disk.remove_tree(aside)
        self.mend_pointer(ref)

    def set_aside(self, ref: ArtifactRef) -> Path | None:
        """Take a damaged version out of sight so that its stage can run again; return where it is.

        Raises:
            ResourceError: It cannot be moved.
        """
        aside = self._move_aside(ref, BAD)
        self.mend_pointer(ref)
        return aside

    def mend_pointer(self, ref: ArtifactRef) -> None:
        """Let ``latest`` name the newest version of a name; drop an empty name's folder."""
        newest = self.newest(ref.kind, ref.name)
        if newest is not None:
            self.point(newest)
            return
        folder = self.root / ref.kind / ref.name
        with suppress(OSError):
            (folder / POINTER).unlink(missing_ok=True)
            folder.rmdir()

    def _build(self, key: Key, build: Callable[[Draft], None], force: bool) -> Outcome:
        final = self.path(key.ref)
        with ExitStack() as stack:
            with disk.storage_errors("create a folder in", final.parent):
                folder = stack.enter_context(disk.temporary_folder(final.parent, key.version))
            meter, draft = Meter(), Draft(folder)
            try:
                build(draft)
            except OSError as error:
                # What a stage reads is its own to explain; what it writes, or a full disk, is ours.
                here = str(error.filename or "").startswith(str(folder))
                if here or error.errno in disk.EXHAUSTED:
                    raise disk.storage_error("write", final, error) from error
                raise
            with disk.storage_errors("write", final):
                seal(draft, key, meter)
                won = self._commit(key.ref, folder, force)
            if not won:
                return self._lost(key.ref, folder)
        return Outcome(self.open(key.ref), cached=False)

    def _commit(self, ref: ArtifactRef, folder: Path, force: bool) -> bool:
        """Rename a sealed folder into place; False when another writer's was there first."""
        final = self.path(ref)
        if force:
            self._replace(final, folder)
            return True
        for _ in range(_COMMIT_ATTEMPTS):
            if disk.rename_if_absent(folder, final):
                return True
            with suppress(ArtifactMissingError):
                self.open(ref)
                return False
            disk.move_aside(final, BAD)  # an incomplete one: the way is free at the next turn
        raise _contended(final)

    def _replace(self, final: Path, folder: Path) -> None:
        """Rename a sealed folder into the place of what is there, which comes back on failure."""
        for _ in range(_COMMIT_ATTEMPTS):
            old = disk.move_aside(final, OLD)
            try:
                done = disk.rename_if_absent(folder, final)
            except OSError:
                if old is not None:
                    disk.rename_if_absent(old, final)
                raise
            if old is not None:
                disk.remove_tree(old)
            if done:
                return
        raise _contended(final)

    def _lost(self, ref: ArtifactRef, folder: Path) -> Outcome:
        winner, ours = self.open(ref), read_manifest(folder)
        if winner.manifest.files != ours.files:
            self.note(
                f"{ref}: another process made it with other bytes from the same inputs; "
                "its result stays, ours is discarded"
            )
        return Outcome(winner, cached=True)

    def _cached(self, artifact: Artifact) -> Outcome:
        ref = artifact.ref
        newest = self.newest(ref.kind, ref.name)
        if newest not in (None, ref):
            self.note(
                f"{ref} is not the newest: {ref.kind}/{ref.name} without a version is {newest}"
            )
        return Outcome(artifact, cached=True)

    def _move_aside(self, ref: ArtifactRef, prefix: str) -> Path | None:
        path = self.path(ref)
        with disk.storage_errors("move", path):
            aside = disk.move_aside(path, prefix)
            if aside is not None:
                disk.sync_folder(path.parent)
        return aside

    def _work_path(self, key: Key) -> Path:
        return self.root / WORK / f"{key.kind}-{key.version}"


def _contended(path: Path) -> ResourceError:
    return ResourceError(f"{path} keeps coming back", "end whatever else writes there")
