"""SIGKILL at every step and at random moments, and two processes at once: real ones."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rrnet_cli.store import Store, maintenance
from rrnet_cli.store.collection import collect
from tests.conftest import PATIENCE, ROOT
from tests.store.crash import KEY, OTHER, build_in_pieces
from tests.store.samples import tree


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("template") / "artifacts")
    store.materialise(OTHER, build_in_pieces)
    return store.root


def lives(template: Path, folder: Path, mode: str, *args: object) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.store.crash", template, folder, mode, *args]
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_after_a_crash(root: Path, template: Path) -> str:
    """See that a later stage accepts nothing half-made, that nothing else changed, that gc cleans.

    Returns:
        Whether the version was "there" or "absent" after the crash.
    """
    store = Store(root, lock_timeout=0)  # a dead holder's lock must be free
    kept = tree(store.path(OTHER.ref))
    assert kept == tree(Store(template).path(OTHER.ref))
    for ref in store.refs():
        assert maintenance.verify(store, ref)[1] == []
    found = store.find(KEY)
    collect(store, days=-1)
    hidden = [path.name for path in root.glob("*/*/.*")]
    assert hidden == [] and not list(root.glob(".work/*"))
    outcome = store.materialise(KEY, build_in_pieces)
    assert outcome.cached is (found is not None)
    outcome.artifact.verify()
    assert store.resolve("features", "tiny").ref == KEY.ref
    assert (store.path(KEY.ref).parent / "latest").read_text() == f"{KEY.version}\n"
    assert tree(store.path(OTHER.ref)) == kept and len(store.refs()) == 2
    return "there" if found else "absent"


def test_killed_before_every_step(template: Path, tmp_path: Path) -> None:
    children = lives(template, tmp_path, "steps", "new", 0, 0)
    states = [check_after_a_crash(Path(child["root"]), template) for child in children]
    assert len(children) > 40 and not children[-1]["killed"]
    assert {child["killed"] for child in children[:-1]} == {True}
    # one step makes it appear, and from then on it is there
    assert states == sorted(states) and set(states) == {"absent", "there"}


def test_killed_before_every_step_of_a_replacement(template: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    store = Store(old)
    for key in (OTHER, KEY):
        store.materialise(key, build_in_pieces)
    children = lives(old, tmp_path / "roots", "steps", "force", 0, 0)
    states = [check_after_a_crash(Path(child["root"]), old) for child in children]
    assert len(children) > 40
    assert states.count("absent") <= 2  # between the two renames; then its stage makes it again


@pytest.mark.parametrize("force", ["new", "force"])
def test_killed_at_random_moments(template: Path, tmp_path: Path, force: str) -> None:
    start = Path(shutil.copytree(template, tmp_path / "start"))
    if force == "force":
        Store(start).materialise(KEY, build_in_pieces)
    children = lives(start, tmp_path / "roots", "moments", force, 30, 1)
    for child in children:
        check_after_a_crash(Path(child["root"]), start)
    assert sum(child["killed"] for child in children) >= 5


RACE = """
import contextlib, json, sys
from pathlib import Path
from rrnet_cli.store import Store
from tests.store.samples import build, make_key
root, locked, shift = Path(sys.argv[1]), sys.argv[2] == "locked", float(sys.argv[3])
notes = []
class Unlocked(Store):
    def lock(self, key):
        return contextlib.nullcontext()
store = (Store if locked else Unlocked)(root, note=notes.append)
def slow(draft):
    build(draft, shift)
    if not locked:  # nobody commits before both have built
        print("built", flush=True)
        sys.stdin.readline()
print("ready", flush=True)
sys.stdin.readline()
outcome = store.materialise(make_key(), slow)
outcome.artifact.verify()
print(json.dumps({"cached": outcome.cached, "notes": notes}))
"""


@pytest.mark.parametrize("shifts", [(0, 0), (0, 1)], ids=["same bytes", "other bytes"])
@pytest.mark.parametrize("mode", ["locked", "unlocked"])
def test_two_processes_at_once(tmp_path: Path, mode: str, shifts: tuple[int, int]) -> None:
    """Both succeed with one artifact, whether or not the lock works."""
    racers: list[subprocess.Popen[str]] = []
    reports: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        for shift in shifts:
            racer = subprocess.Popen(
                [sys.executable, "-c", RACE, str(tmp_path / "artifacts"), mode, str(shift)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            racers.append(stack.enter_context(racer))
            stack.callback(racer.kill)
        for word in ("ready", "built") if mode == "unlocked" else ("ready",):
            for racer in racers:
                assert racer.stdout is not None and racer.stdout.readline() == f"{word}\n"
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write("go\n")
                racer.stdin.flush()
        for racer in racers:
            out, _ = racer.communicate(timeout=PATIENCE)
            assert racer.returncode == 0
            reports.append(json.loads(out))
    store = Store(tmp_path / "artifacts")
    assert sorted(report["cached"] for report in reports) == [False, True]
    assert store.refs() == [KEY.ref] and maintenance.verify(store, KEY.ref)[1] == []
    assert not list(store.root.glob("*/*/.*"))
    discarded = [note for report in reports for note in report["notes"] if "other bytes" in note]
    assert len(discarded) == (1 if mode == "unlocked" and shifts == (0, 1) else 0)
