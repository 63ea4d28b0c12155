from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rrnet_cli.errors import ArtifactCorruptError, ConfigError
from rrnet_cli.store import Artifact, Draft, Store
from rrnet_cli.store.catalog import POINTER
from tests.store.samples import FILES, build, make_key, overwrite, tree

KEY = make_key()


class Counting:
    """A build that counts its calls and can give other bytes each time."""

    def __init__(self, vary: bool = False) -> None:
        self.calls, self.vary = 0, vary

    def __call__(self, draft: Draft) -> None:
        self.calls += 1
        build(draft, shift=self.calls if self.vary else 0)


def leftovers(store: Store) -> list[str]:
    return [path.name for path in store.root.glob("*/*/.*")]


def test_made_once_then_cached(store: Store, notes: list[str]) -> None:
    stage = Counting()
    first = store.materialise(KEY, stage)
    before = tree(store.root)
    second = store.materialise(KEY, stage)
    assert (first.cached, second.cached, stage.calls) == (False, True, 1)
    assert second.artifact.ref == first.artifact.ref == KEY.ref
    assert tree(store.root) == before
    assert leftovers(store) == [] and notes == []
    found = store.find(KEY)
    assert found is not None and found.ref == KEY.ref
    assert store.find(make_key(x=1)) is None


def test_another_key_is_another_version(store: Store) -> None:
    stage = Counting()
    outcomes = [store.materialise(make_key(x=x), stage) for x in (1, 2, 1)]
    assert [outcome.cached for outcome in outcomes] == [False, False, True]
    assert len(store.refs()) == stage.calls == 2


def test_a_cached_version_that_is_not_the_newest_says_so(store: Store, notes: list[str]) -> None:
    for x in (1, 2, 1):
        store.materialise(make_key(x=x), build)
    assert len(notes) == 1 and str(make_key(x=2).ref) in notes[0]


def test_a_failing_stage_leaves_nothing(store: Store) -> None:
    def fail(draft: Draft) -> None:
        build(draft)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.materialise(KEY, fail)
    assert store.refs() == [] and leftovers(store) == []
    assert not store.materialise(KEY, build).cached


def test_an_interrupted_stage_keeps_its_workspace(store: Store) -> None:
    def interrupted(draft: Draft) -> None:
        (store.workspace(KEY) / "epoch-3").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.materialise(KEY, interrupted)
    assert (store.workspace(KEY) / "epoch-3").exists() and leftovers(store) == []
    assert not store.workspace(make_key(x=1)).samefile(store.workspace(KEY))
    store.materialise(KEY, build)
    assert not (store.root / ".work" / store.workspace(make_key(x=1)).name / "epoch-3").exists()
    assert not (store.root / ".work" / f"features-{KEY.version}").exists()


def test_force_builds_anew_in_its_place(store: Store) -> None:
    stage = Counting(vary=True)
    first = store.materialise(KEY, stage).artifact
    mapped = first.tensors("features.safetensors")["audio"]
    second = store.materialise(KEY, stage, force=True)
    assert not second.cached and second.artifact.path == first.path
    assert second.artifact.arrays("features.safetensors")["audio"][0, 0] == 2
    assert mapped[0, 0] == 1  # a reader keeps what it opened
    assert store.refs() == [KEY.ref] and leftovers(store) == []


def test_a_failing_force_leaves_the_old_one(store: Store, artifact: Artifact) -> None:
    before = tree(artifact.path)

    def fail(draft: Draft) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.materialise(KEY, fail, force=True)
    assert tree(artifact.path) == before


@pytest.mark.parametrize("name", FILES)
def test_a_corrupt_version_is_refused_until_it_is_forced(
    store: Store, artifact: Artifact, name: str
) -> None:
    overwrite(artifact.path / name, b"x")
    before = tree(artifact.path)
    with pytest.raises(ArtifactCorruptError, match=name):
        store.materialise(KEY, build)
    assert tree(artifact.path) == before
    store.materialise(KEY, build, force=True).artifact.verify()


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_an_incomplete_version_is_a_miss_and_built_again(
    store: Store, artifact: Artifact, name: str
) -> None:
    (artifact.path / name).unlink()
    assert store.find(KEY) is None
    outcome = store.materialise(KEY, build)
    assert not outcome.cached
    outcome.artifact.verify()
    (aside,) = leftovers(store)
    assert aside.startswith(f".bad-{KEY.version}")
    assert store.materialise(KEY, build).cached


@pytest.mark.parametrize("kind", ["empty folder", "file", "junk"])
def test_junk_in_the_place_of_a_version_does_not_stop_it(store: Store, kind: str) -> None:
    path = store.path(KEY.ref)
    path.parent.mkdir(parents=True)
    if kind == "file":
        path.write_text("x")
    else:
        path.mkdir()
        if kind == "junk":
            (path / "x").write_text("x")
    if kind == "file":
        with pytest.raises(ArtifactCorruptError):
            store.materialise(KEY, build)
    else:
        assert not store.materialise(KEY, build).cached
    store.materialise(KEY, build, force=True).artifact.verify()


def test_the_second_of_two_writers_takes_the_first_result(store: Store, notes: list[str]) -> None:
    """Without the lock's help: another process commits while this one builds."""

    def overtaken(draft: Draft) -> None:
        build(draft)
        elsewhere = Store(store.root.parent / "elsewhere")
        other = elsewhere.materialise(KEY, build).artifact
        shutil.copytree(other.path, store.path(KEY.ref))

    outcome = store.materialise(KEY, overtaken)
    assert outcome.cached and notes == [] and leftovers(store) == []
    outcome.artifact.verify()


def test_the_loser_of_a_nondeterministic_stage_is_discarded_with_a_note(
    store: Store, notes: list[str]
) -> None:
    def overtaken(draft: Draft) -> None:
        build(draft, shift=1)
        other = Store(store.root.parent / "elsewhere").materialise(KEY, build).artifact
        shutil.copytree(other.path, store.path(KEY.ref))

    outcome = store.materialise(KEY, overtaken)
    assert outcome.artifact.arrays("features.safetensors")["audio"][0, 0] == 0
    assert len(notes) == 1 and str(KEY.ref) in notes[0] and "other bytes" in notes[0]
    assert leftovers(store) == []


def test_threads_of_one_process_share_the_work(store: Store) -> None:
    stage = Counting()
    gate = threading.Barrier(4)
    outcomes: list[bool] = []

    def run() -> None:
        gate.wait()
        outcomes.append(store.materialise(KEY, stage).cached)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, True, True, True] and stage.calls == 1


@pytest.mark.parametrize(
    "leave",
    [
        lambda folder: (folder / "link").symlink_to("/etc/passwd"),
        lambda folder: os.mkfifo(folder / "pipe"),
        lambda folder: (folder / "a b").write_text("x"),
        lambda folder: (folder / ".hidden").write_text("x"),
    ],
    ids=["link", "pipe", "blank", "hidden"],
)
def test_a_stage_may_not_leave_strange_files(store: Store, leave: Callable[[Path], Any]) -> None:
    with pytest.raises(ValueError, match="may not leave"):
        store.materialise(KEY, lambda draft: leave(draft.folder))
    assert store.refs() == []


@pytest.mark.parametrize("name", ["../x", "/x", "", "manifest.json", "a b", ".x"])
def test_a_stage_may_not_write_elsewhere(store: Store, name: str) -> None:
    for write in (
        lambda draft: draft.path(name),
        lambda draft: draft.write_json(name, {}),
        lambda draft: draft.write_table(name, pa.table({"x": [1]})),
    ):
        with pytest.raises(ValueError, match="no allowed file name"):
            store.materialise(KEY, write)


def test_a_stage_may_not_write_a_file_twice(store: Store) -> None:
    def twice(draft: Draft) -> None:
        draft.write_json("x.json", 1)
        draft.write_json("x.json", 1)

    with pytest.raises(ValueError, match="twice"):
        store.materialise(KEY, twice)


def test_json_without_a_form_is_refused(store: Store) -> None:
    with pytest.raises(ValueError):
        store.materialise(KEY, lambda draft: draft.write_json("x.json", [float("nan")]))


def test_an_artifact_may_be_empty(store: Store) -> None:
    artifact = store.materialise(KEY, lambda draft: None).artifact
    assert dict(artifact.manifest.files) == {} and store.materialise(KEY, build).cached


def test_errors_of_the_raw_data_stay_what_they_are(store: Store) -> None:
    def unreadable(draft: Draft) -> None:
        Path("/nonexistent/raw.wav").read_bytes()

    with pytest.raises(FileNotFoundError):
        store.materialise(KEY, unreadable)


def test_an_odd_name_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError) as caught:
        make_key("my data")
    assert caught.value.exit_code == 2


def test_removing(store: Store) -> None:
    old, new = (store.materialise(make_key(x=x), build).artifact for x in (1, 2))
    pointer = old.path.parent / POINTER
    store.remove(new.ref)
    assert store.refs() == [old.ref] and pointer.read_text() == f"{old.ref.version}\n"
    store.remove(old.ref)
    assert store.refs() == [] and not old.path.parent.exists() and leftovers(store) == []
    store.remove(old.ref)


def test_the_umask_of_a_private_user_is_kept(store: Store) -> None:
    before = os.umask(0o077)
    try:
        artifact = store.materialise(KEY, build).artifact
    finally:
        os.umask(before)
    modes = {(artifact.path / name).stat().st_mode & 0o777 for name in [*FILES, "manifest.json"]}
    assert modes == {0o400}


def test_equal_content_gives_equal_files_in_every_store(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name) for name in ("a", "b")]
    trees = [tree(store.materialise(KEY, build).artifact.path) for store in stores]
    for one, other in itertools.pairwise(trees):
        one.pop("manifest.json"), other.pop("manifest.json")
        assert one == other
