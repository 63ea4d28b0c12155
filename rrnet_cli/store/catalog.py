"""The reading half of the store: what there is, and which version a person means."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from rrnet_cli.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ConfigError,
    RRNetError,
)
from rrnet_cli.store import disk
from rrnet_cli.store.artifact import Artifact
from rrnet_cli.store.manifest import read_manifest
from rrnet_cli.store.reference import FORMATS, MANIFEST, STAGES, ArtifactRef, is_name, is_version

POINTER = "latest"
"""File beside the versions that names the newest: for people and shells, never believed here."""

_REFERENCE = re.compile(
    r"(?:(?P<kind>[a-z]+)/)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:@(?P<prefix>[0-9a-f]{1,12}))?"
)


class Catalog:
    """The artifacts below one folder, for reading.

    Args:
        root: The folder; need not exist.
        verify: Compare digests on reading.
    """

    def __init__(self, root: Path, *, verify: bool = True) -> None:
        self.root = root
        self.verifies = verify

    def refs(self, kind: str | None = None, name: str | None = None) -> list[ArtifactRef]:
        """List the versions there are, sound or not, of a kind and name or of all."""
        return sorted(
            ArtifactRef(each, folder.name, version.name)
            for each in ([kind] if kind else FORMATS)
            for folder in subfolders(self.root / each)
            if is_name(folder.name) and name in (None, folder.name)
            for version in subfolders(folder)
            if is_version(version.name)
        )

    def path(self, ref: ArtifactRef) -> Path:
        """Return where a version is or would be."""
        return self.root / ref.kind / ref.name / ref.version

    def open(self, ref: ArtifactRef) -> Artifact:
        """Open one version; see `Artifact.open` for what it raises."""
        path = self.path(ref)
        if path.is_symlink():
            raise ArtifactCorruptError(f"{path} is a link, not an artifact", "remove the link")
        return Artifact.open(path, ref, verify=self.verifies)

    def resolve(self, kind: str | None, ref: str | None = None) -> Artifact:
        """Open the artifact that a person means.

        Args:
            kind: The kind it has to be; None for any.
            ref: ``name``, ``kind/name``, either with ``@version-prefix``, or a path;
                None: the newest of the kind.

        Raises:
            ConfigError: Several artifacts fit and none is the newest of them.
            ArtifactMissingError: There is none, or it is incomplete; says what there is.
            ArtifactFormatError, ArtifactCorruptError: As `Artifact.open`. A damaged newest version
                is never passed over for an older one.
        """
        folder = self._folder(kind, ref)
        if folder is None or self._own_ref(folder) is not None:
            return self.open(self.locate(kind, ref))
        foreign = Artifact.open(folder, verify=self.verifies)
        if kind not in (None, foreign.ref.kind):
            raise ArtifactMissingError(f"{foreign.ref} is no {kind}", self._offer(kind))
        return foreign

    def locate(self, kind: str | None, ref: str | None = None) -> ArtifactRef:
        """Find the version in this store that a reference means, without opening it, sound or not.

        Raises:
            ConfigError, ArtifactMissingError: As `resolve`.
        """
        folder = self._folder(kind, ref)
        own = self._own_ref(folder) if folder else None
        if own is not None and kind in (None, own.kind):
            return own
        matching = self._matching(kind, ref)
        if not matching:
            wanted = " ".join(filter(None, [kind or "artifact", ref]))
            raise ArtifactMissingError(f"there is no {wanted} in {self.root}", self._offer(kind))
        listed = ", ".join(map(str, matching[:10]))
        if len({found.kind for found in matching}) > 1:
            raise ConfigError(f"{ref or 'this'} may mean {listed}", "write KIND/NAME")
        if ref and "@" in ref and len(matching) > 1:
            raise ConfigError(f"{ref} may mean {listed}", "give more digits")
        newest = self._newest(matching)
        if ref and "@" not in ref:
            self.point(newest)
        return newest

    def newest(self, kind: str, name: str) -> ArtifactRef | None:
        """Return the newest version of a name by the manifests' time."""
        refs = self.refs(kind, name)
        return self._newest(refs) if refs else None

    def point(self, newest: ArtifactRef) -> None:
        """Let the ``latest`` pointer name a version, if it does not yet and can be written."""
        pointer = self.root / newest.kind / newest.name / POINTER
        text = f"{newest.version}\n"
        with suppress(OSError):  # derived: a store that cannot be written is still readable
            if _read_text(pointer) != text:
                disk.replace_text(pointer, text)

    def _newest(self, refs: list[ArtifactRef]) -> ArtifactRef:
        return max(refs, key=lambda ref: _folder_age(self.path(ref)))

    def _matching(self, kind: str | None, ref: str | None) -> list[ArtifactRef]:
        if ref is None:
            return self.refs(kind)
        match = _REFERENCE.fullmatch(ref)
        if match is None or match["kind"] not in (None, *((kind,) if kind else FORMATS)):
            return []
        candidates = self.refs(kind or match["kind"], match["name"])
        return [each for each in candidates if each.version.startswith(match["prefix"] or "")]

    def _folder(self, kind: str | None, ref: str | None) -> Path | None:
        """Take a reference that names nothing for a path, to a version or a name's newest."""
        if not ref or "\0" in ref or self._matching(kind, ref):
            return None
        path = Path(os.path.abspath(ref))
        path = path.parent if path.name == MANIFEST else path
        if os.path.lexists(path / MANIFEST) or (is_version(path.name) and path.is_dir()):
            return path
        versions = [folder for folder in subfolders(path) if is_version(folder.name)]
        return max(versions, key=_folder_age, default=None)

    def _own_ref(self, path: Path) -> ArtifactRef | None:
        """Return which version a path is, if it lies in this store."""
        try:
            kind, name, version = path.resolve().relative_to(self.root.resolve()).parts
            return ArtifactRef(kind, name, version)
        except ValueError:
            return None

    def _offer(self, kind: str | None) -> str:
        names = sorted({f"{ref.kind}/{ref.name}" for ref in self.refs(kind)})
        if names:
            return f"there is: {', '.join(names[:20])}"
        return f"make one with `{STAGES[kind]}`" if kind else "the store is empty"


def subfolders(path: Path) -> Iterator[Path]:
    """Yield the folders in `path`, sorted; none when it is not there.

    Raises:
        ResourceError: It cannot be read.
    """
    try:
        children = sorted(path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return
        raise disk.storage_error("read", path, error) from error
    yield from (child for child in children if child.is_dir())


def _folder_age(path: Path) -> tuple[str, str]:
    """Order versions by their manifests' time; a damaged one by its folder's, so it is not lost."""
    try:
        return read_manifest(path).created, path.name
    except RRNetError:
        with suppress(OSError):
            changed = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
            return changed.isoformat(timespec="microseconds"), path.name
    return "", path.name


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
