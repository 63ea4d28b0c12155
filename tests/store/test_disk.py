from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from rrnet_cli.errors import ResourceError
from rrnet_cli.store import Store, disk
from tests.store.samples import FILES, build, make_key

KEY = make_key()


class Recorder:
    """Notes what happens to names, in order, as (what, path relative to the store)."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.events = root, list[tuple[str, str]]()
        for name in ("fsync", "fchmod"):
            monkeypatch.setattr(os, name, self._on_descriptor(name))
        for name in ("rename", "replace", "mkdir"):
            monkeypatch.setattr(os, name, self._on_paths(name, getattr(os, name)))

    def _on_descriptor(self, what: str) -> Any:
        def record(descriptor: int, *args: Any) -> None:
            self._add(what, os.readlink(f"/proc/self/fd/{descriptor}"))

        return record

    def _on_paths(self, what: str, real: Any) -> Any:
        def record(*paths: Path, **options: Any) -> None:
            real(*paths, **options)
            self._add(what, paths[0 if what == "mkdir" else 1])

        return record

    def _add(self, what: str, path: str | Path) -> None:
        self.events.append((what, Path(path).relative_to(self.root).as_posix()))

    def index(self, what: str, ending: str) -> int:
        (found,) = (i for i, (w, path) in enumerate(self.events) if w == what and
                    path.endswith(ending))  # fmt: skip
        return found


def test_order_of_a_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write < fsync(file) < manifest < fsync(folder) < rename < fsync(parent) < pointer."""
    record = Recorder(store.root.parent, monkeypatch)
    store.materialise(KEY, build)
    events = record.events
    manifest = record.index("fsync", "/manifest.json")
    for name in FILES:
        assert record.index("fchmod", f"/{name}") < record.index("fsync", f"/{name}") < manifest
    renamed = record.index("rename", KEY.version)
    sealed = [path for what, path in events[:renamed] if what == "fsync"]
    temporary = sealed[-1]
    assert Path(temporary).name.startswith(".tmp-") and sealed[-2] == f"{temporary}/manifest.json"
    for folder in ("edges", "plots"):
        assert f"{temporary}/{folder}" in sealed
        assert record.index("fsync", f"/{folder}") < manifest
    parent = Path(temporary).parent.as_posix()
    assert events[renamed + 1] == ("fsync", parent)
    assert events[renamed + 2][0] == "fsync" and ".tmp-latest" in events[renamed + 2][1]
    assert events[renamed + 3 :] == [("replace", f"{parent}/latest"), ("fsync", parent)]


def test_new_folders_are_synced_into_their_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Recorder(tmp_path, monkeypatch)
    disk.make_folders(tmp_path / "a" / "b")
    assert record.events == [("mkdir", "a"), ("fsync", "."), ("mkdir", "a/b"), ("fsync", "a")]
    disk.make_folders(tmp_path / "a" / "b")
    assert len(record.events) == 4


def test_rename_is_put_if_absent(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    target = tmp_path / "target"
    assert disk.rename_if_absent(tmp_path / "one", target)
    assert not disk.rename_if_absent(tmp_path / "two", target)
    assert (target / "x").read_text() == "one" and (tmp_path / "two" / "x").exists()
    (tmp_path / "file").write_text("x")
    assert not disk.rename_if_absent(tmp_path / "two", tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        disk.rename_if_absent(tmp_path / "gone", tmp_path / "new")


def test_move_aside(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    aside = disk.move_aside(tmp_path / "x", ".bad-")
    assert aside is not None and aside.read_text() == "1" and aside.name.startswith(".bad-x-")
    assert disk.move_aside(tmp_path / "x", ".bad-") is None


def test_a_temporary_folder_is_alive_while_its_maker_is(tmp_path: Path) -> None:
    with disk.temporary_folder(tmp_path / "new" / "parent", "label") as folder:
        assert folder.name.startswith(".tmp-label-")
        assert not disk.is_abandoned(folder)
        (folder / "x").write_text("x")
    assert not folder.exists()
    folder.mkdir()
    assert disk.is_abandoned(folder)
    assert not disk.is_abandoned(tmp_path / "gone")


def test_a_temporary_folder_that_gc_takes_at_birth_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        if not taken:
            taken.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
            taken[0].rmdir()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with disk.temporary_folder(tmp_path / "parent", "x") as folder:
        assert folder.is_dir() and folder != taken[0]


def test_replacing_text_leaves_no_temporary_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "latest"
    disk.replace_text(path, "old")

    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        disk.replace_text(path, "new")
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["x", "a/x", "a/b/x"])
def test_open_regular(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("content")
    descriptor = disk.open_regular(tmp_path, name)
    assert os.read(descriptor, 99) == b"content"
    os.close(descriptor)


def test_open_regular_follows_no_link_and_hangs_on_no_pipe(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "x").write_text("x")
    (root / "link").symlink_to("x")
    (root / "folder-link").symlink_to("sub")
    (root / "sub" / "x").write_text("x")
    os.mkfifo(root / "pipe")
    (tmp_path / "root-link").symlink_to(root)
    for folder, name in [
        (root, "link"), (root, "folder-link/x"), (root, "pipe"), (root, "sub"),
        (tmp_path / "root-link", "x"),
    ]:  # fmt: skip
        with pytest.raises(OSError) as caught:
            disk.open_regular(folder, name)
        assert caught.value.errno in disk.NOT_A_FILE
    with pytest.raises(FileNotFoundError):
        disk.open_regular(root, "gone/x")


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "gc"), (errno.EROFS, "read-only"), (errno.EACCES, "permissions"),
     (errno.EIO, "disk"), (errno.EBADF, "disk")],
)  # fmt: skip
def test_errors_say_what_where_and_what_to_do(number: int, advice: str) -> None:
    with (
        pytest.raises(ResourceError) as caught,
        disk.storage_errors("write", Path("artifacts/features/x")),
    ):
        raise OSError(number, os.strerror(number))
    assert caught.value.message.startswith("cannot write artifacts/features/x: ")
    assert advice in str(caught.value.hint) and caught.value.exit_code == 7
