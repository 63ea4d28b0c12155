from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from rrnet_cli.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ConfigError,
    ResourceError,
)
from rrnet_cli.store import Artifact, Store
from rrnet_cli.store.catalog import POINTER
from tests.store.samples import build, make_key, overwrite


def make(store: Store, name: str = "tiny", kind: str = "features", **params: object) -> Artifact:
    return store.materialise(make_key(name, kind, **params), build).artifact


def test_a_name_means_its_newest_version(store: Store) -> None:
    first, second, third = (make(store, x=x) for x in range(3))
    assert store.resolve("features", "tiny").ref == third.ref
    assert store.resolve("features").ref == third.ref
    for artifact in (first, second, third):
        full = f"tiny@{artifact.ref.version}"
        assert store.resolve("features", full).ref == artifact.ref
        assert store.resolve(None, f"features/{full[:-1]}").ref == artifact.ref
        assert store.resolve(None, str(artifact.ref)).path == artifact.path


def test_newest_is_by_manifest_time_whatever_the_files_times_say(store: Store) -> None:
    first, second = (make(store, x=x) for x in range(2))
    os.utime(first.path, (time.time() + 999, time.time() + 999))
    (first.path.parent / POINTER).write_text(first.ref.version)
    assert store.resolve("features", "tiny").ref == second.ref


def test_the_newest_of_a_kind_is_over_all_names(store: Store) -> None:
    make(store, "b")
    last = make(store, "a")
    make(store, "z", "graph")
    assert store.resolve("features").ref == last.ref
    assert store.refs() == sorted(store.refs()) and len(store.refs()) == 3


def test_a_path_is_a_reference(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (make(store, x=x) for x in range(2))
    for path, expected in [
        (old.path, old), (old.path / "manifest.json", old), (new.path.parent, new)
    ]:  # fmt: skip
        assert store.resolve("features", str(path)).ref == expected.ref
        assert store.locate(None, str(path)) == expected.ref
    monkeypatch.chdir(old.path)
    assert store.resolve("features", ".").ref == old.ref
    monkeypatch.chdir(store.root)
    assert store.resolve("features", "features/tiny").ref == new.ref
    with pytest.raises(ArtifactMissingError, match="model"):
        store.resolve("model", str(old.path))


def test_a_path_may_lie_in_another_store(store: Store, tmp_path: Path) -> None:
    artifact = make(store)
    other = Store(tmp_path / "empty")
    found = other.resolve("features", str(artifact.path))
    assert found.ref == artifact.ref and found.json("metrics.json") == {"top1": 0.5}
    with pytest.raises(ArtifactMissingError, match="is no graph"):
        other.resolve("graph", str(artifact.path))
    with pytest.raises(ArtifactMissingError):
        other.locate(None, str(artifact.path))


def test_a_name_goes_before_a_path(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = make(store)
    elsewhere = store.root.parent / "tiny"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere.parent)
    assert store.resolve("features", "tiny").ref == artifact.ref


@pytest.mark.parametrize(
    "ref", ["nothing", "tiny@fff", "graph/tiny", "features/nothing", "tiny@", "a b", "../x", "/",
            "tiny@xyz", "\0", "", "/dev/null", "no/such/kind", "a" * 5000, "b/" * 3000]
)  # fmt: skip
def test_a_missing_artifact_says_what_there_is(store: Store, ref: str) -> None:
    make(store)
    with pytest.raises(ArtifactMissingError) as caught:
        store.resolve("features", ref)
    assert "features/tiny" in str(caught.value.hint) and caught.value.exit_code == 4


def test_an_empty_store_says_which_stage_to_run(store: Store) -> None:
    with pytest.raises(ArtifactMissingError, match="features") as caught:
        store.resolve("features")
    assert "rrnet extract" in str(caught.value.hint)
    with pytest.raises(ArtifactMissingError) as caught:
        store.resolve(None, "x")
    assert caught.value.hint == "the store is empty"
    assert not store.root.exists()


def test_what_may_mean_several_is_asked_back(store: Store) -> None:
    versions = [make(store, x=x).ref.version for x in range(17)]  # two share their first digit
    shared = next(v[0] for v in versions if sum(w[0] == v[0] for w in versions) > 1)
    with pytest.raises(ConfigError, match="may mean") as caught:
        store.resolve("features", f"tiny@{shared}")
    assert "digits" in str(caught.value.hint)
    make(store, kind="graph")
    with pytest.raises(ConfigError, match="may mean") as caught:
        store.resolve(None, "tiny")
    assert "KIND/NAME" in str(caught.value.hint)
    assert store.resolve("graph", "tiny").ref.kind == "graph"


def test_a_damaged_newest_is_not_passed_over_for_an_older_one(store: Store) -> None:
    make(store, x=0)
    newest = make(store, x=1)
    overwrite(newest.path / "manifest.json", b"{}")
    for ref in ("tiny", None):
        with pytest.raises(ArtifactCorruptError, match="manifest"):
            store.resolve("features", ref)


def test_an_incomplete_newest_is_not_passed_over(store: Store) -> None:
    make(store, x=0)
    newest = make(store, x=1)
    (newest.path / "metrics.json").unlink()
    with pytest.raises(ArtifactMissingError, match=r"metrics\.json"):
        store.resolve("features", "tiny")


@pytest.mark.parametrize(
    "damage", [b"", b"\xff\xfe", b"000000000000\n", b"../../etc", None, "older", "folder"]
)
def test_a_stale_or_broken_pointer_is_mended(store: Store, damage: bytes | str | None) -> None:
    older, newest = (make(store, x=x) for x in range(2))
    pointer = newest.path.parent / POINTER
    assert pointer.read_text() == f"{newest.ref.version}\n"
    pointer.unlink()
    if damage == "folder":
        pointer.mkdir()
    elif damage == "older":
        pointer.write_text(f"{older.ref.version}\n")
    elif isinstance(damage, bytes):
        pointer.write_bytes(damage)
    assert store.resolve("features", "tiny").ref == newest.ref
    if damage != "folder":
        assert pointer.read_text() == f"{newest.ref.version}\n"


def test_what_is_no_artifact_is_not_listed(store: Store) -> None:
    artifact = make(store)
    kind = store.root / "features"
    for name in ("README", ".DS_Store", "tiny/notes.txt"):
        (kind / name).write_text("x")
    for name in (".hidden/000000000000", "tiny/.tmp-000000000000-aa", "tiny/0000", "tiny/sub"):
        (kind / name).mkdir(parents=True)
    (store.root / "unknown" / "x" / "000000000000").mkdir(parents=True)
    assert store.refs() == [artifact.ref]


def test_a_store_that_cannot_be_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make(store)

    def fail(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(ResourceError, match="Permission denied"):
        store.resolve("features", "tiny")
