from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from rrnet_cli.errors import BusyError, ResourceError
from rrnet_cli.store import Store, locks
from tests.conftest import ROOT
from tests.store.samples import build, make_key

KEY = make_key()
HOLDER = """
import sys, time
from pathlib import Path
from rrnet_cli.store import Store
from tests.store.samples import make_key
with Store(Path(sys.argv[1])).lock(make_key()):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def another_process_holds(store: Store) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(store.root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_holder_over_the_timeout_is_named(tmp_path: Path) -> None:
    notes: list[str] = []
    store = Store(tmp_path, lock_timeout=0.3, note=notes.append)
    with another_process_holds(store) as process:
        started = time.monotonic()
        with pytest.raises(BusyError) as caught:
            store.materialise(KEY, build)
    message = caught.value.message
    assert 0.3 <= time.monotonic() - started < 10
    assert f"process {process.pid} on {os.uname().nodename}" in message and "-c" in message
    assert str(KEY.ref) in message and "0.3 s" in message
    assert caught.value.exit_code == 6 and "--lock-timeout" in str(caught.value.hint)
    assert len(notes) == 1 and f"process {process.pid}" in notes[0]


def test_a_timeout_of_zero_does_not_wait(tmp_path: Path) -> None:
    notes: list[str] = []
    store = Store(tmp_path, lock_timeout=0, note=notes.append)
    with another_process_holds(store), pytest.raises(BusyError):
        store.materialise(KEY, build)
    assert notes == []


def test_a_holder_that_is_killed_lets_go(store: Store, notes: list[str]) -> None:
    with another_process_holds(store) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        started = time.monotonic()
        assert not store.materialise(KEY, build).cached
    assert time.monotonic() - started < 5 and notes == []


def test_waiting_ends_when_the_holder_does(store: Store, notes: list[str]) -> None:
    store.note = lambda message: (notes.append(message), process.kill())
    with another_process_holds(store) as process:
        assert not store.materialise(KEY, build).cached
    assert len(notes) == 1 and "waiting for features/tiny@" in notes[0]


def test_another_version_is_not_locked(store: Store) -> None:
    with another_process_holds(store):
        assert not store.materialise(make_key(x=1), build).cached


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\0" * 100, b"{", b"[]", b'{"pid": "x"}', b"[" * 10_000, b"\xff" * 100_000, b"null",
     b'{"pid": 1, "host": "h", "command": "c", "inputs": 3}'],
)  # fmt: skip
def test_garbage_in_a_lock_file(tmp_path: Path, garbage: bytes) -> None:
    store = Store(tmp_path, lock_timeout=0)
    path = store.lock_path(KEY.ref)
    path.parent.mkdir(parents=True)
    path.write_bytes(garbage)
    assert locks.read_holder(path) is None
    with FileLock(path), pytest.raises(BusyError, match="no readable name"):
        store.materialise(KEY, build)
    assert not store.materialise(KEY, build).cached


def test_a_lock_file_that_cannot_be_one(store: Store) -> None:
    store.lock_path(KEY.ref).mkdir(parents=True)
    with pytest.raises(ResourceError, match="lock"):
        store.materialise(KEY, build)


def test_a_planted_link_is_not_written_through(store: Store, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    store.lock_path(KEY.ref).parent.mkdir(parents=True)
    store.lock_path(KEY.ref).symlink_to(tmp_path / "precious")
    with pytest.raises(ResourceError):
        store.materialise(KEY, build)
    assert (tmp_path / "precious").read_text() == "precious"


def test_the_holder_is_named_only_while_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with locks.hold(path, "x", timeout=0, inputs=["features/a@000000000000"]):
        holder = locks.read_holder(path)
        assert holder is not None and holder.pid == os.getpid()
        assert holder.inputs == ("features/a@000000000000",)
        assert json.loads(path.read_bytes())["host"] == os.uname().nodename
        with locks.try_hold_existing(path) as free:
            assert not free
    assert locks.read_holder(path) is None
    with locks.try_hold_existing(path) as free:
        assert free
    with locks.try_hold_existing(tmp_path / "none.lock") as free:
        assert free
    assert not (tmp_path / "none.lock").exists()


def test_the_lock_is_let_go_when_the_work_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locks.hold(path, "x", timeout=0):
            raise ZeroDivisionError
