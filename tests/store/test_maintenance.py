from __future__ import annotations

import errno
import json
import os

import pytest

from rrnet_cli.errors import (
    ArtifactCorruptError,
    ArtifactFormatError,
    ArtifactMissingError,
    ConfigError,
    ResourceError,
)
from rrnet_cli.store import Artifact, Key, Store, maintenance
from tests.store.samples import FILES, build, forge, make_key, overwrite, plant, tree


@pytest.fixture
def family(store: Store) -> dict[str, Artifact]:
    features = store.materialise(make_key(), build).artifact
    graph_key = Key("graph", "tiny", {"k": 10}, {"features": features.ref})
    graph = store.materialise(graph_key, build).artifact
    inputs = {"graph": graph.ref, "features": features.ref}
    model = store.materialise(Key("model", "tiny-paper", {}, inputs), build).artifact
    return {"features": features, "graph": graph, "model": model}


def newer(artifact: Artifact) -> None:
    path = artifact.path / "manifest.json"
    overwrite(path, json.dumps({**json.loads(path.read_bytes()), "format": 9}).encode())


def test_listing_tells_sound_from_unsound(store: Store) -> None:
    artifacts = [store.materialise(make_key(x=x), build).artifact for x in range(4)]
    (artifacts[0].path / FILES[0]).unlink()
    overwrite(artifacts[1].path / "manifest.json", b"{}")
    newer(artifacts[2])
    by_ref = {entry.ref: entry for entry in maintenance.list_entries(store)}
    entries = [by_ref[artifact.ref] for artifact in artifacts]
    expected = [ArtifactMissingError, ArtifactCorruptError, ArtifactFormatError, type(None)]
    assert [type(entry.problem) for entry in entries] == expected
    assert entries[3].bytes == sum(f.stat().st_size for f in artifacts[3].path.rglob("*.*"))
    assert entries[3].manifest == artifacts[3].manifest
    assert maintenance.list_entries(store, "graph") == []
    assert sum(entry.newest for entry in entries) == 1


def test_verify_finds_everything_at_once(store: Store, artifact: Artifact) -> None:
    assert maintenance.verify(store, artifact.ref) == (artifact.ref, [])
    assert maintenance.verify(store, "tiny") == (artifact.ref, [])
    for name in FILES[:2]:
        overwrite(artifact.path / name, b"x")
    (artifact.path / "edges" / "extra").write_text("x")
    (artifact.path / "link").symlink_to("/etc/passwd")
    _, problems = maintenance.verify(Store(store.root, verify=False), "tiny")
    messages = " ".join(problem.message for problem in problems)
    assert len(problems) == 4
    assert all(name in messages for name in (*FILES[:2], "edges/extra", "link"))


def test_verify_compares_headers_that_the_digest_vouches_for(artifact: Artifact) -> None:
    plant(artifact.path, "instances.parquet", (artifact.path / FILES[1]).read_bytes())
    plant(artifact.path, "features.safetensors", b"\0" * 100)
    problems = list(Artifact.open(artifact.path).problems())
    assert [type(problem) for problem in problems] == [ArtifactCorruptError] * 2


def test_verify_of_what_cannot_be_opened_or_found(store: Store, artifact: Artifact) -> None:
    (artifact.path / FILES[0]).unlink()
    _, (problem,) = maintenance.verify(store, artifact.ref)
    assert isinstance(problem, ArtifactMissingError)
    with pytest.raises(ArtifactMissingError):
        maintenance.verify(store, "nothing")


def test_verify_of_a_path_elsewhere(store: Store, artifact: Artifact) -> None:
    elsewhere = Store(store.root.parent / "elsewhere")
    assert maintenance.verify(elsewhere, str(artifact.path)) == (artifact.ref, [])


def test_repair_sets_damage_aside_so_that_the_stage_runs_again(
    store: Store, artifact: Artifact
) -> None:
    assert maintenance.repair(store, artifact.ref) == ([], None)
    overwrite(artifact.path / FILES[0], b"x")
    damaged = tree(artifact.path)
    (problem,), aside = maintenance.repair(store, artifact.ref)
    assert isinstance(problem, ArtifactCorruptError) and aside is not None
    assert tree(aside) == damaged and aside.parent == artifact.path.parent
    assert store.refs() == []
    assert not store.materialise(make_key(), build).cached


def test_repair_of_an_older_version_leaves_the_newest(store: Store) -> None:
    old, new = (store.materialise(make_key(x=x), build).artifact for x in range(2))
    overwrite(new.path / "manifest.json", b"")
    _, aside = maintenance.repair(store, new.ref)
    assert aside is not None and store.resolve("features", "tiny").ref == old.ref
    assert (old.path.parent / "latest").read_text() == f"{old.ref.version}\n"


def test_repair_does_not_touch_what_is_no_damage(
    store: Store, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(ResourceError):
            maintenance.repair(store, artifact.ref)
    newer(artifact)
    with pytest.raises(ArtifactFormatError):
        maintenance.repair(store, artifact.ref)
    assert store.refs() == [artifact.ref]


def test_lineage_goes_down_to_the_raw_data(store: Store, family: dict[str, Artifact]) -> None:
    found = maintenance.lineage(store, family["model"].ref)
    assert found.ref == family["model"].ref and found.problem is None
    assert found.inputs["graph"].inputs["features"].ref == family["features"].ref
    assert found.inputs["features"].inputs == {}


def test_lineage_shows_gaps(store: Store, family: dict[str, Artifact]) -> None:
    store.remove(family["features"].ref)
    found = maintenance.lineage(store, family["model"].ref)
    assert found.problem is None
    assert "incomplete" in str(found.inputs["graph"].inputs["features"].problem)


def test_a_forged_loop_of_inputs_is_no_artifact(store: Store, artifact: Artifact) -> None:
    """A version is a digest over its inputs' versions, so nobody can name themselves."""
    own = {"kind": "features", "name": "tiny", "version": artifact.ref.version}
    forge(artifact.path, lambda body: body.update(inputs={"self": own}))
    assert maintenance.lineage(store, artifact.ref).problem is not None


def test_users_and_removal(store: Store, family: dict[str, Artifact]) -> None:
    features, graph, model = (family[kind].ref for kind in ("features", "graph", "model"))
    assert maintenance.users(store, features) == [graph, model]
    with pytest.raises(ConfigError, match="was used to make") as caught:
        maintenance.remove(store, features)
    assert str(graph) in caught.value.message
    maintenance.remove(store, model)
    maintenance.remove(store, features, force=True)
    assert store.refs() == [graph]


def test_diff(store: Store) -> None:
    left = store.materialise(make_key(a={"b.c": 1, "d": 2}, gone=None), build).artifact
    right = store.materialise(
        make_key(a={"b.c": 1, "d": 3}, new=[1]), lambda draft: build(draft, 1)
    ).artifact
    changes = maintenance.diff(left.manifest, right.manifest)
    assert changes["params"] == {"a.d": (2, 3), "gone": (None, None), "new": (None, [1])}
    assert set(changes) == {"params", "files"}
    assert set(changes["files"]) == {"features.safetensors"}
    assert maintenance.diff(left.manifest, left.manifest) == {}


def test_diff_of_inputs(store: Store, family: dict[str, Artifact]) -> None:
    changes = maintenance.diff(family["features"].manifest, family["graph"].manifest)
    assert changes["inputs"] == {"features": (None, str(family["features"].ref))}
    assert changes["data"]["digest"] == ("ab" * 32, None)
