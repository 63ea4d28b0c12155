from __future__ import annotations

import errno
import gc
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as run_settings
from hypothesis import strategies as st

from rrnet_cli.errors import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ResourceError,
)
from rrnet_cli.store import Artifact, Store
from rrnet_cli.store import artifact as artifact_module
from tests.store.samples import FILES, overwrite, plant, read

shared = run_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def reopened(artifact: Artifact, verify: bool = True) -> Artifact:
    return Artifact.open(artifact.path, artifact.ref, verify=verify)


def test_everything_written_is_read_back(artifact: Artifact) -> None:
    assert artifact.table("instances.parquet")["id"].to_pylist() == ["a", "b", "c"]
    assert artifact.table("instances.parquet", ["label"]).column_names == ["label"]
    assert artifact.table("edges/audio.intra.audio.parquet").num_rows == 50
    assert artifact.arrays("features.safetensors")["audio"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert artifact.tensors("features.safetensors")["text"].sum().item() == 8
    assert artifact.json("metrics.json") == {"top1": 0.5}
    assert artifact.file("plots/curve.png").read_bytes().startswith(b"\x89PNG")
    assert list(artifact.problems()) == []


@pytest.mark.parametrize("name", FILES)
def test_files_are_read_only(artifact: Artifact, name: str) -> None:
    assert (artifact.path / name).stat().st_mode & 0o777 == 0o444
    assert (artifact.path / "manifest.json").stat().st_mode & 0o777 == 0o444


@shared
@given(st.sampled_from(FILES), st.data())
def test_any_flipped_bit_is_noticed(artifact: Artifact, name: str, data: st.DataObject) -> None:
    path = artifact.path / name
    sound = path.read_bytes()
    bit = data.draw(st.integers(0, len(sound) * 8 - 1))
    flipped = bytearray(sound)
    flipped[bit // 8] ^= 1 << bit % 8
    overwrite(path, bytes(flipped))
    try:
        with pytest.raises(ArtifactCorruptError) as caught:
            read(reopened(artifact), name)
    finally:
        overwrite(path, sound)
    message = caught.value.message
    assert name in message
    assert hashlib.sha256(sound).hexdigest() in message
    assert hashlib.sha256(bytes(flipped)).hexdigest() in message
    assert caught.value.hint is not None
    assert f"rrnet artifacts repair {artifact.ref}" in caught.value.hint
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    "change",
    [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b[:-1], lambda b: b + b"\0"],
    ids=["empty", "half", "minus one", "trailing"],
)
def test_a_changed_size_is_noticed_even_without_digests(
    artifact: Artifact, name: str, verify: bool, change: Callable[[bytes], bytes]
) -> None:
    path = artifact.path / name
    sound = path.read_bytes()
    overwrite(path, change(sound))
    with pytest.raises(ArtifactCorruptError) as caught:
        read(reopened(artifact, verify), name)
    assert name in caught.value.message
    for data in (sound, change(sound)):
        assert hashlib.sha256(data).hexdigest() in caught.value.message


@pytest.mark.parametrize("name", FILES)
def test_a_file_under_another_name_is_noticed(artifact: Artifact, name: str) -> None:
    other = next(each for each in FILES if each != name)
    overwrite(artifact.path / name, (artifact.path / other).read_bytes())
    with pytest.raises(ArtifactCorruptError, match=name):
        read(reopened(artifact), name)


def test_no_verify_trusts_the_bytes(artifact: Artifact) -> None:
    path = artifact.path / "metrics.json"
    overwrite(path, path.read_bytes().replace(b"0.5", b"0.6"))
    assert reopened(artifact, verify=False).json("metrics.json") == {"top1": 0.6}
    assert len(list(reopened(artifact).problems())) == 1


def test_each_file_is_digested_once(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    count: list[int] = []
    digest = artifact_module._digest
    monkeypatch.setattr(
        artifact_module, "_digest", lambda file: (count.append(file), digest(file))[1]
    )
    fresh = reopened(artifact)
    for _ in range(3):
        fresh.arrays("features.safetensors")
        fresh.file("features.safetensors")
    fresh.verify()
    assert len(count) == len(FILES)
    fresh.verify()
    assert len(count) == len(FILES)
    reopened(artifact).verify()
    assert len(count) == 2 * len(FILES)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["symlink", "dangling", "fifo", "folder"])
def test_what_is_no_regular_file_is_refused(artifact: Artifact, name: str, kind: str) -> None:
    path = artifact.path / name
    real = path.rename(artifact.path.parent / "moved")
    match kind:
        case "symlink":
            path.symlink_to(real)
        case "dangling":
            path.symlink_to("/nonexistent")
        case "fifo":
            os.mkfifo(path)
        case _:
            path.mkdir()
    with pytest.raises(ArtifactCorruptError, match="link or no regular file"):
        read(reopened(artifact), name)


def test_a_link_in_the_way_to_a_file_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    folder = artifact.path / "edges"
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactCorruptError, match="link"):
        reopened(artifact).table("edges/audio.intra.audio.parquet")


def test_a_version_that_is_a_link_is_refused(store: Store, artifact: Artifact) -> None:
    artifact.path.rename(store.root / "moved")
    artifact.path.symlink_to(store.root / "moved")
    with pytest.raises(ArtifactCorruptError, match="link"):
        store.open(artifact.ref)
    with pytest.raises(ArtifactCorruptError, match="link"):
        Artifact.open(artifact.path)


def test_parts_are_checked_before_the_first_is_given(artifact: Artifact) -> None:
    name = "instances.parquet"
    assert [part.num_rows for part in artifact.parts(name)] == [3]
    data = bytearray((artifact.path / name).read_bytes())
    data[len(data) // 2] ^= 1
    overwrite(artifact.path / name, bytes(data))
    with pytest.raises(ArtifactCorruptError, match=name):
        next(reopened(artifact).parts(name))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_with_its_digest(artifact: Artifact, name: str) -> None:
    opened = reopened(artifact)
    (artifact.path / name).unlink()
    for attempt in (lambda: reopened(artifact), lambda: read(opened, name)):
        with pytest.raises(ArtifactMissingError) as caught:
            attempt()
        assert name in caught.value.message
        assert artifact.manifest.files[name].sha256 in caught.value.message
        assert "rrnet extract" in str(caught.value.hint) and caught.value.exit_code == 4


def test_a_file_that_the_manifest_does_not_list(artifact: Artifact) -> None:
    (artifact.path / "extra.json").write_text("{}")
    for name in ("extra.json", "../tiny", "/etc/passwd", "manifest.json"):
        with pytest.raises(ArtifactMissingError, match="has no file"):
            reopened(artifact).json(name)
    (problem,) = artifact.problems()
    assert "extra.json" in problem.message


@pytest.mark.parametrize("name", FILES)
def test_a_failing_disk_is_no_corruption(
    artifact: Artifact, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = reopened(artifact)
    inode = (artifact.path / name).stat().st_ino
    fdopen = os.fdopen

    def fail(descriptor: int, *args: str) -> object:
        if os.fstat(descriptor).st_ino == inode:
            os.close(descriptor)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return fdopen(descriptor, *args)

    monkeypatch.setattr(os, "fdopen", fail)
    with pytest.raises(ResourceError, match="Input/output") as caught:
        read(opened, name)
    assert name in caught.value.message and caught.value.exit_code == 7


def test_no_descriptor_is_left_open(artifact: Artifact) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    gc.collect()  # what earlier tests left open
    before = count()
    for _ in range(5):
        assert list(reopened(artifact).problems()) == []
        (artifact.path / "x").symlink_to("y")
        assert len(list(artifact.problems())) == 1
        (artifact.path / "x").unlink()
    assert count() == before


@pytest.mark.parametrize("data", [b"\x80\x04K\x01.", b"[1,", b"NaN", b'{"a":1,"a":1}', b"[" * 5000])
def test_hostile_json_that_a_manifest_vouches_for(artifact: Artifact, data: bytes) -> None:
    plant(artifact.path, "metrics.json", data)
    with pytest.raises(ArtifactCorruptError, match=r"metrics\.json"):
        reopened(artifact).json("metrics.json")
