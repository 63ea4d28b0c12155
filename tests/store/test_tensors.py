from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as run_settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rrnet_cli.errors import ArtifactCorruptError
from rrnet_cli.store import Artifact, tensors
from rrnet_cli.store.manifest import FileRecord
from tests.store.samples import plant

shared = run_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
dtypes = st.sampled_from(sorted(tensors._DTYPES)).map(np.dtype)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


def record_of(fields: dict[str, Any]) -> FileRecord:
    return FileRecord(size=0, sha256="0" * 64, **fields)


def write(path: Path, values: Any) -> FileRecord:
    path.unlink(missing_ok=True)
    return record_of(tensors.write_tensors(path, values))


@shared
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), arrays, max_size=4))
def test_arrays_come_back_the_same(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "t.safetensors"
    record = write(path, values)
    read = tensors.read_arrays(path, record)
    assert set(read) == set(values)
    for name, value in values.items():
        assert read[name].dtype == value.dtype and read[name].shape == value.shape
        np.testing.assert_array_equal(read[name], value)


def test_torch_and_numpy_give_the_same_bytes(tmp_path: Path) -> None:
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    values = {
        "z": base,
        "transposed": base.t(),  # not contiguous
        "row": base[1],  # shares memory
        "scalar": torch.tensor(2.5),
        "flags": torch.tensor([True, False]),
        "rng": torch.get_rng_state(),
        "grad": torch.ones(2, requires_grad=True),
    }
    record = write(tmp_path / "torch", values)
    others = {name: np.array(value.detach()) for name, value in reversed(values.items())}
    assert write(tmp_path / "numpy", others) == record
    assert (tmp_path / "torch").read_bytes() == (tmp_path / "numpy").read_bytes()
    read = tensors.read_tensors(tmp_path / "torch", record)
    assert all(torch.equal(read[name], values[name]) for name in values)


def test_writing_to_a_mapped_tensor_leaves_the_file_alone(tmp_path: Path) -> None:
    record = write(tmp_path / "t", {"x": np.zeros(3, "f4")})
    before = (tmp_path / "t").read_bytes()
    tensors.read_tensors(tmp_path / "t", record)["x"].add_(1)
    assert (tmp_path / "t").read_bytes() == before


def test_big_endian_is_stored_natively(tmp_path: Path) -> None:
    record = write(tmp_path / "t", {"x": np.arange(3, dtype=">i4")})
    assert tensors.read_arrays(tmp_path / "t", record)["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "value", [torch.zeros(1, dtype=torch.bfloat16), np.zeros(1, complex), np.array(["a"]),
              np.array([object()])]
)  # fmt: skip
def test_other_element_types_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match="'x'"):
        tensors.write_tensors(tmp_path / "t", {"x": value})
    assert not (tmp_path / "t").exists()


def raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


PICKLE = b"cposix\nsystem\n(S'touch CANARY'\ntR."
HOSTILE = {
    "empty": b"",
    "pickle": PICKLE,
    "zip of a .pt": b"PK\x03\x04" + PICKLE,
    "header longer than the file": raw({}, length=2**40),
    "header of 2^64-1": raw({}, length=2**64 - 1),
    "header of 101 MB": raw(b"{" + b" " * 101_000_000),
    "no JSON": raw(b"{nonsense"),
    "deep JSON": raw(b'{"x":' * 100_000),
    "overlap": raw({"x": entry([2], 0, 8), "y": entry([2], 4, 12)}, bytes(12)),
    "hole": raw({"x": entry([1], 0, 4), "y": entry([1], 8, 12)}, bytes(12)),
    "trailing": raw({"x": entry([1], 0, 4)}, bytes(5)),
    "short": raw({"x": entry([2], 0, 8)}, bytes(7)),
    "overflowing shape": raw({"x": entry([2**33, 2**33], 0, 4)}, bytes(4)),
    "huge shape": raw({"x": entry([2**40], 0, 2**42)}, bytes(4)),
    "negative shape": raw({"x": entry([-1], 0, 4)}, bytes(4)),
    "backward offsets": raw({"x": entry([1], 4, 0)}, bytes(4)),
    "unknown type": raw({"x": entry([1], 0, 4, "F31")}, bytes(4)),
    "same name twice": raw(
        b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        bytes(8),
    ),
    "another shape": raw({"x": entry([2], 0, 8)}, bytes(8)),
    "another type": raw({"x": entry([1], 0, 4, "I32")}, bytes(4)),
    "another name": raw({"y": entry([1], 0, 4)}, bytes(4)),
    "one more": raw({"x": entry([1], 0, 4), "y": entry([0], 4, 4)}, bytes(4)),
    "100,000 tensors": raw({f"t{i}": entry([0], 0, 0) for i in range(100_000)}),
}


@pytest.mark.parametrize("read", [Artifact.tensors, Artifact.arrays])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_that_a_manifest_vouches_for(
    artifact: Artifact, case: str, read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    claim = {"x": {"dtype": "float32", "shape": [1]}}
    plant(artifact.path, "features.safetensors", HOSTILE[case], tensors=claim)
    forged = Artifact.open(artifact.path, artifact.ref)
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ArtifactCorruptError, match=r"features\.safetensors"):
        read(forged, "features.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 600 * 1024
    assert time.monotonic() - start < 10
    assert not (tmp_path / "CANARY").exists()


def test_the_canary_of_these_tests_would_sing(tmp_path: Path) -> None:
    (tmp_path / "payload").write_bytes(PICKLE)
    command = [sys.executable, "-m", "pickle", "payload"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "CANARY").exists()


@shared
@given(st.binary(max_size=200))
def test_random_bytes_are_a_value_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(ValueError):
        tensors.read_arrays(
            tmp_path / "t", record_of({"tensors": {"x": {"dtype": "int8", "shape": [1]}}})
        )


def test_errors_of_the_disk_keep_their_number(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tensors.write_tensors(tmp_path / "gone" / "t", {"x": np.zeros(1)})
