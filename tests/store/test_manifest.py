from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as run_settings
from hypothesis import strategies as st

from rrnet_cli.errors import (
    ArtifactCorruptError,
    ArtifactFormatError,
    ArtifactMissingError,
    RRNetError,
)
from rrnet_cli.store import Artifact, Draft, Store
from rrnet_cli.store.digests import digest_json
from rrnet_cli.store.manifest import MAX_MANIFEST_BYTES, read_manifest
from tests.store.samples import forge, make_key, overwrite

Edit = Callable[[dict[str, Any]], Any]
shared = run_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_a_manifest_records_where_the_artifact_comes_from(artifact: Artifact) -> None:
    body = json.loads((artifact.path / "manifest.json").read_bytes())
    assert list(body) == sorted(body)
    assert (body["kind"], body["name"], body["format"]) == ("features", "tiny", 1)
    assert body["version"] == make_key().version == artifact.path.name
    assert body["params"] == {"seed": 3, "lr": 0.01} and body["seed"] == 3
    assert body["data"] == {"files": 2, "bytes": 10, "digest": "ab" * 32}
    assert {"rrnet", "python", "torch", "dgl", "numpy", "pyarrow"} == set(body["versions"])
    assert body["summary"] == {"instances": 3}
    assert body["wall_seconds"] >= 0 and body["peak_memory_bytes"] > 2**20
    assert body["files"]["instances.parquet"]["rows"] == 3
    assert body["files"]["instances.parquet"]["columns"] == [
        ["id", "string"], ["label", "int64"], ["score", "float"]
    ]  # fmt: skip
    assert body["files"]["features.safetensors"]["tensors"]["audio"] == {
        "dtype": "float32",
        "shape": [3, 2],
    }
    assert set(body["files"]["plots/curve.png"]) == {"size", "sha256"}


def test_a_manifest_names_no_place_on_the_machine(artifact: Artifact) -> None:
    text = (artifact.path / "manifest.json").read_text()
    assert str(artifact.path.parent) not in text
    assert os.uname().nodename not in json.loads(text).values()


def test_summary_must_be_small_and_json(store: Store) -> None:
    def fill(value: Any) -> Callable[[Draft], None]:
        return lambda draft: draft.summary.update(x=value)

    with pytest.raises(ValueError, match="small"):
        store.materialise(make_key(), fill("x" * MAX_MANIFEST_BYTES))
    with pytest.raises(ValueError):
        store.materialise(make_key(), fill(float("nan")))
    assert store.refs() == []


@shared
@given(st.data())
def test_any_flipped_bit_is_noticed(artifact: Artifact, data: st.DataObject) -> None:
    path = artifact.path / "manifest.json"
    sound = path.read_bytes()
    bit = data.draw(st.integers(0, len(sound) * 8 - 1))
    flipped = bytearray(sound)
    flipped[bit // 8] ^= 1 << bit % 8
    overwrite(path, bytes(flipped))
    try:
        with pytest.raises((ArtifactCorruptError, ArtifactFormatError)):
            Artifact.open(artifact.path, artifact.ref)
    finally:
        overwrite(path, sound)
    Artifact.open(artifact.path, artifact.ref)


@pytest.mark.parametrize(
    "cut", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b[:-1], lambda b: b + b" ",
            lambda b: b[:-1] + b" \n", lambda b: b"\xef\xbb\xbf" + b, lambda b: b * 2]
)  # fmt: skip
def test_truncated_and_padded_manifests_are_corrupt(
    artifact: Artifact, cut: Callable[[bytes], bytes]
) -> None:
    path = artifact.path / "manifest.json"
    overwrite(path, cut(path.read_bytes()))
    with pytest.raises(ArtifactCorruptError, match="manifest") as caught:
        Artifact.open(artifact.path, artifact.ref)
    assert f"rrnet artifacts repair {artifact.ref}" in str(caught.value.hint)


@pytest.mark.parametrize(
    "data",
    [b"\x80\x04\x95", b"null", b"[]", b"[" * 100_000, b"{}", b'{"digest": 1}', b"\0" * 100,
     b" " * (MAX_MANIFEST_BYTES + 1), b'{"digest":"%s"}' % digest_json({}).encode()],
)  # fmt: skip
def test_what_is_no_manifest_is_corrupt(artifact: Artifact, data: bytes) -> None:
    overwrite(artifact.path / "manifest.json", data)
    with pytest.raises(ArtifactCorruptError):
        read_manifest(artifact.path)


@given(st.binary(max_size=80))
@shared
def test_random_bytes_give_a_typed_error(artifact: Artifact, data: bytes) -> None:
    overwrite(artifact.path / "manifest.json", data)
    with pytest.raises(RRNetError):
        read_manifest(artifact.path)


def test_changed_content_names_both_digests(artifact: Artifact) -> None:
    path = artifact.path / "manifest.json"
    recorded = artifact.manifest.digest
    overwrite(path, path.read_bytes().replace(b'"lr": 0.01', b'"lr": 0.02'))
    body = json.loads(path.read_bytes())
    body.pop("digest")
    with pytest.raises(ArtifactCorruptError) as caught:
        read_manifest(artifact.path)
    assert recorded in caught.value.message and digest_json(body) in caught.value.message


@pytest.mark.parametrize("field", ["format", "manifest_format"])
def test_a_newer_format_asks_for_an_upgrade(artifact: Artifact, field: str) -> None:
    """Even without a valid signature: a newer toolkit may sign in another way."""
    path = artifact.path / "manifest.json"
    body = json.loads(path.read_bytes())
    overwrite(path, json.dumps({**body, field: 2}).encode())
    with pytest.raises(ArtifactFormatError, match="format 2") as caught:
        read_manifest(artifact.path)
    assert caught.value.exit_code == 4 and "upgrade" in str(caught.value.hint)


def lie(**fields: Any) -> Edit:
    return lambda body: body.update(fields)


@pytest.mark.parametrize(
    "edit",
    [
        lie(version="0" * 12),
        lie(name="other"),
        lie(kind="graph"),
        lie(kind="../../etc"),
        lie(name="../../etc"),
        lie(params={"seed": 4, "lr": 0.01}),
        lie(data=None),
        lie(inputs={"graph": {"kind": "graph", "name": "x", "version": "0" * 12}}),
        lie(inputs={"graph": {"kind": "graph", "name": "..", "version": "0" * 12}}),
        lie(inputs={"graph": "graph/x@000000000000"}),
        lie(files=[]),
        lie(files={"a": {"size": -1, "sha256": "0" * 64}}),
        lie(files={"a": {"size": 1.5, "sha256": "0" * 64}}),
        lie(files={"a": {"size": 1, "sha256": "0" * 63 + "\n"}}),
        lie(files={"a": {"size": 1, "sha256": "0" * 64, "more": 1}}),
        lie(created="yesterday"),
        lie(unknown=1),
        lambda body: body.pop("summary"),
    ],
)
def test_a_signed_lie_is_refused(artifact: Artifact, edit: Edit) -> None:
    forge(artifact.path, edit)
    with pytest.raises(ArtifactCorruptError):
        Artifact.open(artifact.path, artifact.ref)


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../../b", "%2e%2e/x", "C:\\x", "a\0b", "a#b", "..", "", "a//b",
     "manifest.json", ".hidden"],
)  # fmt: skip
def test_hostile_file_names_are_refused(artifact: Artifact, name: str) -> None:
    record = {"size": 3, "sha256": "0" * 64}
    forge(artifact.path, lambda body: body["files"].update({name: record}))
    with pytest.raises(ArtifactCorruptError, match="no allowed file name"):
        Artifact.open(artifact.path, artifact.ref)


def test_a_valid_artifact_under_a_wrong_name_is_noticed(store: Store, artifact: Artifact) -> None:
    for wrong in (
        artifact.path.with_name("0" * 12),
        store.root / "features" / "other" / artifact.ref.version,
        store.root / "graph" / "tiny" / artifact.ref.version,
    ):
        shutil.copytree(artifact.path, wrong)
        kind, name, version = wrong.relative_to(store.root).parts
        (found,) = (each for each in store.refs(kind, name) if each.version == version)
        with pytest.raises(ArtifactCorruptError, match="wrong name"):
            store.open(found)
        with pytest.raises(ArtifactCorruptError, match="wrong name"):
            store.resolve(None, str(wrong))


def test_missing_manifest_is_incomplete(artifact: Artifact) -> None:
    (artifact.path / "manifest.json").unlink()
    with pytest.raises(ArtifactMissingError, match=r"manifest\.json"):
        read_manifest(artifact.path)


@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder"])
def test_a_manifest_that_is_no_regular_file_is_refused(artifact: Artifact, kind: str) -> None:
    path = artifact.path / "manifest.json"
    real = path.rename(path.with_name("real.json"))
    match kind:
        case "symlink":
            path.symlink_to(real)
        case "fifo":
            os.mkfifo(path)
        case _:
            path.mkdir()
    with pytest.raises(ArtifactCorruptError, match="link or no regular file"):
        read_manifest(artifact.path)


def test_reading_a_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(RRNetError):
        read_manifest(tmp_path / "x")
