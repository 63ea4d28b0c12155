from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from rrnet_cli.errors import ConfigError
from rrnet_cli.store import Artifact, ArtifactRef, Key, Store, disk
from rrnet_cli.store.collection import collect
from tests.conftest import ROOT
from tests.store.samples import build, make_key, overwrite, tree

STAGE = """
import sys, time
from pathlib import Path
from rrnet_cli.store import ArtifactRef, Key, Store
from tests.store.samples import build
root, *inputs = sys.argv[1:]
def slow(draft):
    build(draft)
    (store.workspace(key) / "checkpoint").write_text("x")
    print("building", flush=True)
    sys.stdin.readline()
refs = {}
for text in inputs:
    kind, _, rest = text.partition("/")
    refs[kind] = ArtifactRef(kind, *rest.split("@"))
store, key = Store(Path(root)), Key("model", "running", {"x": 1}, refs)
store.materialise(key, slow).artifact.verify()
print("done", flush=True)
"""


@contextmanager
def running_stage(store: Store, *inputs: ArtifactRef) -> Iterator[subprocess.Popen[str]]:
    """A stage in another process that has written its files and waits for a word to commit."""
    command = [sys.executable, "-c", STAGE, str(store.root), *map(str, inputs)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "building\n"
            yield process
        finally:
            process.kill()


def make(store: Store, kind: str, name: str, x: int = 0, *inputs: Artifact) -> Artifact:
    refs = {artifact.ref.kind: artifact.ref for artifact in inputs}
    return store.materialise(Key(kind, name, {"x": x}, refs), build).artifact


def age(path: Path, days: float) -> None:
    for entry in [path, *path.rglob("*")]:
        os.utime(entry, (time.time() - days * 86400,) * 2)


def removed(store: Store, **options: float | None) -> list[str]:
    return [item.path for item in collect(store, **options)]  # type: ignore[arg-type]


def test_nothing_to_do(store: Store, artifact: Artifact) -> None:
    before = tree(store.root)
    assert collect(store) == [] and collect(store, keep=1) == []
    assert tree(store.root) == before
    assert collect(Store(store.root / "none"), keep=1) == [] and not (store.root / "none").exists()


def test_leftovers_of_the_dead_go_and_live_temporaries_stay(store: Store) -> None:
    with running_stage(store) as process:
        assert collect(store, keep=1, days=-1) == []
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
    store.resolve("model", "running").verify()


def test_a_killed_stage_is_cleaned_up_after(store: Store) -> None:
    with running_stage(store) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert [path.rpartition("/")[0] for path in removed(store)] == ["model/running"]
    assert not list(store.root.glob("*/*/.*"))
    # its checkpoints stay for a while: the next run resumes there
    (workspace,) = store.root.glob(".work/*")
    assert (workspace / "checkpoint").exists()
    age(workspace, 8)
    assert removed(store) == [f".work/{workspace.name}"]
    assert not workspace.exists()


def test_checkpoints_that_changed_lately_stay(store: Store) -> None:
    workspace = store.workspace(make_key())
    (workspace / "epochs").mkdir()
    age(workspace, 30)
    (workspace / "epochs" / "9").write_text("new")
    age(workspace / "epochs" / "9", 1)
    assert collect(store) == []


def test_checkpoints_of_a_running_stage_stay(store: Store) -> None:
    key = make_key()
    age(store.workspace(key), 99)
    with store.lock(key):
        assert collect(store, days=0) == []
    assert len(collect(store, days=0)) == 1


def test_replaced_and_damaged_ones(store: Store, artifact: Artifact) -> None:
    folder = artifact.path.parent
    (folder / f".old-{artifact.ref.version}-00").mkdir()
    aside = store.set_aside(artifact.ref)
    assert aside is not None
    assert removed(store) == [f"features/tiny/.old-{artifact.ref.version}-00"]
    age(aside, 8)
    assert removed(store) == [f"features/tiny/{aside.name}"]


def test_dry_run_changes_nothing(store: Store) -> None:
    for x in range(3):
        make(store, "features", "a", x)
    (store.root / "features" / "a" / ".tmp-000000000000-00").mkdir()
    before = tree(store.root)
    planned = collect(store, keep=1, dry_run=True)
    assert tree(store.root) == before and len(planned) == 3
    assert collect(store, keep=1) == planned
    assert collect(store, keep=1) == [] and len(store.refs()) == 1
    assert all(item.bytes > 1000 for item in planned if "tmp" not in item.path)


def test_keep_counts_by_name_and_time(store: Store) -> None:
    made = [make(store, "features", name, x).ref for x in range(4) for name in ("a", "b")]
    collect(store, keep=2)
    assert store.refs() == sorted(made[-4:])
    assert (store.root / "features/a/latest").read_text() == f"{made[-2].version}\n"


@pytest.mark.parametrize("keep", [0, -1])
def test_keeping_nothing_is_refused(store: Store, artifact: Artifact, keep: int) -> None:
    with pytest.raises(ConfigError):
        collect(store, keep=keep)
    assert store.refs() == [artifact.ref]


def test_several_at_once_and_a_listing_beside_them(store: Store) -> None:
    """What one removes while another looks at it is no error."""
    for number in range(100):
        for folder in (f"model/m/.old-{number}/edges", f".work/model-{number:012x}/epochs"):
            (store.root / folder).mkdir(parents=True)
            (store.root / folder / "1").write_text("x")
    with ThreadPoolExecutor(4) as pool:
        sizes = pool.submit(lambda: [disk.tree_size(store.root) for _ in range(20)])
        collections = [pool.submit(collect, store, days=-1) for _ in range(3)]
        assert sum(len(each.result()) for each in collections) >= 200
    sizes.result()
    assert not list((store.root / ".work").iterdir()) and collect(store, days=-1) == []


def test_what_a_kept_artifact_was_made_from_stays(store: Store) -> None:
    used, unused = make(store, "features", "f", 1), make(store, "features", "f", 2)
    newest = make(store, "features", "f", 3)
    graph = make(store, "graph", "g", 1, used)
    make(store, "graph", "g", 2, newest)  # newer than the graph that the model was made from
    model = make(store, "model", "m", 1, graph)
    assert removed(store, keep=1) == [f"features/f/{unused.ref.version}"]
    assert {used.ref, graph.ref, model.ref} <= set(store.refs())
    store.remove(model.ref)
    assert set(removed(store, keep=1)) == {
        f"features/f/{used.ref.version}",
        f"graph/g/{graph.ref.version}",
    }


def test_inputs_of_a_running_stage_stay(store: Store) -> None:
    features = make(store, "features", "f", 1)
    graph = make(store, "graph", "g", 1, features)
    others = [make(store, "features", "f", 2), make(store, "graph", "g", 2)]
    with running_stage(store, graph.ref):
        assert collect(store, keep=1) == []
        assert len(store.refs()) == 4
    assert len(collect(store, keep=1)) >= 2
    assert store.refs() == sorted(other.ref for other in others)


def test_a_version_that_is_being_replaced_stays(store: Store) -> None:
    old, _ = make_key(x=1), store.materialise(make_key(x=1), build)
    store.materialise(make_key(x=2), build)
    with store.lock(old):
        assert collect(store, keep=1) == []
    assert len(collect(store, keep=1)) == 1


def test_damaged_versions_are_never_deleted_unseen(store: Store) -> None:
    refs = [make(store, "features", "a", x).ref for x in range(3)]
    overwrite(store.path(refs[0]) / "manifest.json", b"damaged")
    collect(store, keep=1)
    assert set(store.refs()) == {refs[0], refs[2]}


def test_old_lock_files_go(store: Store, artifact: Artifact) -> None:
    path = store.lock_path(artifact.ref)
    collect(store)
    assert path.exists()
    age(path, 8)
    collect(store)
    assert not path.exists()


def test_nothing_foreign_is_touched(store: Store, artifact: Artifact, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "x").write_text("x")
    name = artifact.path.parent
    (name / ".tmp-link-00").symlink_to(precious)
    (name / ".old-link-00").symlink_to(precious)
    (name / "notes.txt").write_text("mine")
    (store.root / "README.md").write_text("mine")
    (store.root / ".gitignore").write_text("*")
    collect(store, keep=1, days=-1)
    assert (precious / "x").exists() and (name / "notes.txt").exists()
    assert (store.root / "README.md").exists() and (store.root / ".gitignore").exists()
