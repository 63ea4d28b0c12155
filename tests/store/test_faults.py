"""Disks that fill up, break or refuse: a typed error, nothing half-written, and a way back."""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import run
from typing import Any

import pyarrow as pa
import pytest

from rrnet_cli.errors import ResourceError
from rrnet_cli.store import Draft, Store, maintenance
from tests.conftest import ROOT
from tests.store.samples import build, make_key, tree

KEY, OTHER = make_key(), make_key("other", x=1)
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT)
CALLS = ("open", "fsync", "fchmod", "mkdir", "rename", "replace", "truncate")


class FailingDisk:
    """Lets the n-th system call that touches the store fail, whichever it is."""

    def __init__(self, root: Path, number: int, at: int) -> None:
        self.root, self.number, self.at, self.count = str(root), number, at, 0

    def fail_in_turn(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **options: Any) -> Any:
            target = args[0]
            if isinstance(target, int):
                target = os.readlink(f"/proc/self/fd/{target}")
            if str(target).startswith(self.root):
                self.count += 1
                if self.count == self.at:
                    raise OSError(self.number, os.strerror(self.number), str(target))
            return call(*args, **options)

        return wrapper

    @contextmanager
    def plugged_in(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self.fail_in_turn(getattr(os, name)))
            patch.setattr(io, "open", self.fail_in_turn(io.open))
            patch.setattr(builtins, "open", self.fail_in_turn(builtins.open))
            yield


def build_little(draft: Draft) -> None:
    draft.write_table("edges/t.parquet", pa.table({"x": [1]}))
    draft.path("plot.png").write_bytes(b"png")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one artifact that has nothing to do with the failing one, and an old one."""
    store = Store(tmp_path_factory.mktemp("template") / "artifacts")
    for key in (OTHER, KEY):
        store.materialise(key, build_little)
    return store.root


@pytest.mark.parametrize("force", [False, True])
def test_every_call_that_may_fail(tmp_path: Path, template: Path, force: bool) -> None:
    """The errors take turns; over all calls each has its turn at every kind of call."""
    failures = 0
    for at in range(1, 200):
        root = Path(shutil.copytree(template, tmp_path / str(at)))
        store = Store(root)
        if not force:
            store.remove(KEY.ref)
        untouched = tree(store.path(OTHER.ref))
        disk = FailingDisk(root, ERRORS[at % len(ERRORS)], at)
        with disk.plugged_in():
            try:
                store.materialise(KEY, build_little, force=force)
            except ResourceError as error:
                assert error.exit_code == 7 and error.hint
                failures += 1
        assert tree(store.path(OTHER.ref)) == untouched
        assert not list(root.glob("*/*/.tmp-*"))
        assert all(maintenance.verify(store, ref)[1] == [] for ref in store.refs())
        assert not force or KEY.ref in store.refs()  # the old one came back, or the new is there
        store.materialise(KEY, build_little).artifact.verify()
        if disk.count < at:
            break
    assert at > failures > 15


def test_a_full_disk_while_a_stage_writes_a_file_of_its_own(store: Store) -> None:
    def full(draft: Draft) -> None:
        draft.path("plot.png").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(draft.folder / "plot.png"))

    with pytest.raises(ResourceError, match="No space left"):
        store.materialise(KEY, full)
    assert store.refs() == [] and not list(store.root.glob("*/*/.tmp-*"))


def test_a_pointer_that_cannot_be_written_does_not_spoil_a_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        assert not store.materialise(KEY, build).cached
    assert store.resolve("features", "tiny").ref == KEY.ref
    assert (store.path(KEY.ref).parent / "latest").read_text() == f"{KEY.version}\n"


def test_a_file_in_the_place_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("x")
    with pytest.raises(ResourceError, match="artifacts"):
        Store(tmp_path / "artifacts").materialise(KEY, build)


def test_a_file_system_without_flock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.raises(ResourceError, match="lock"):
        store.materialise(KEY, build)


READ_ONLY = """
import sys
from pathlib import Path
from rrnet_cli.errors import RRNetError
from rrnet_cli.store import Store
from tests.store.samples import build, make_key
store = Store(Path(sys.argv[1]))
print(store.materialise(make_key(), build).cached, store.resolve("features", "tiny").ref.name)
for name in ("tiny", "new"):
    try:
        store.materialise(make_key(name, x=1), build)
    except RRNetError as error:
        print(error.exit_code, error.hint)
"""


def obey_modes() -> None:
    """Let modes bind even the superuser, from the next exec on: drop CAP_DAC_OVERRIDE."""
    pr_capbset_drop, cap_dac_override = 24, 1
    ctypes.CDLL(None).prctl(pr_capbset_drop, cap_dac_override, 0, 0, 0)


def test_a_read_only_folder(store: Store) -> None:
    """Reading works, even with an old pointer; writing is exit 7."""
    store.materialise(KEY, build)
    (store.root / "features" / "tiny" / "latest").write_text("old")
    before = tree(store.root)
    folders = [path for path in [store.root, *store.root.rglob("*")] if path.is_dir()]
    command = [sys.executable, "-c", READ_ONLY, str(store.root)]
    prepare = obey_modes if os.getuid() == 0 else None
    for path in folders:
        path.chmod(0o555)
    try:
        done = run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=prepare)
    finally:
        for path in folders:
            path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "True tiny"
    assert len(lines) == 3 and all(line.startswith("7 check the folder") for line in lines[1:])
    assert tree(store.root) == before
