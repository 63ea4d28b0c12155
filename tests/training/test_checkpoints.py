"""Checkpoints: exact, torn ones passed over, no pickle."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rrnet_cli.errors import ResourceError
from rrnet_cli.training import checkpoints

STATE = {"weight": torch.arange(6.0).reshape(2, 3)}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_tensors_and_meta_come_back_exactly(tmp_path: Path) -> None:
    base = torch.randn(4, 3, 2, 2)
    state = {
        "channels_last": base.contiguous(memory_format=torch.channels_last),
        "transposed": base.transpose(0, 1),
        "shared": base,
        "bf16": torch.randn(3).bfloat16(),
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 5),
        "rng": torch.get_rng_state(),
        "flags": torch.tensor([True, False]),
        "grad": torch.ones(2, requires_grad=True),
    }
    meta = {"big": 2**127 + 1, "float": 0.1 + 0.2, "none": None, "rows": [{"a": 1.5}], "ß": "é"}
    checkpoints.save(tmp_path / "made", state, meta)
    loaded = checkpoints.load(tmp_path / "made")
    assert loaded is not None
    tensors, found = loaded
    assert found == meta
    assert tensors.keys() == state.keys()
    for name, value in state.items():
        assert tensors[name].dtype == value.dtype
        assert torch.equal(tensors[name], value), name
        tensors[name].data.zero_()  # writable, and nobody else's
    assert base.abs().sum() > 0


def test_the_newest_is_loaded_and_two_are_kept(tmp_path: Path) -> None:
    (tmp_path / "1234.tmp").write_bytes(b"left by a killed process")
    (tmp_path / "notes.txt").write_text("not ours")
    for epoch in range(12):
        checkpoints.save(tmp_path, STATE, {"epoch": epoch})
    loaded = checkpoints.load(tmp_path)
    assert loaded is not None
    assert loaded[1] == {"epoch": 11}
    assert [name[:8] for name in files(tmp_path)] == ["00000010", "00000011", "notes.tx"]
    checkpoints.clear(tmp_path)
    assert files(tmp_path) == ["notes.txt"]
    assert checkpoints.load(tmp_path) is None


def test_a_missing_folder_holds_nothing(tmp_path: Path) -> None:
    assert checkpoints.load(tmp_path / "missing") is None
    checkpoints.clear(tmp_path / "missing")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, bytes]:
    """A folder, its newest file and that file's bytes."""
    folder = tmp_path_factory.mktemp("pair")
    checkpoints.save(folder, STATE, {"epoch": 0})
    newest = checkpoints.save(folder, {"weight": STATE["weight"] + 1}, {"epoch": 1})
    return folder, newest, newest.read_bytes()


@given(data=st.data())
def test_damage_anywhere_falls_back_to_the_one_before(
    pair: tuple[Path, Path, bytes], data: st.DataObject
) -> None:
    folder, newest, whole = pair
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    for damaged in (bytes(flipped), whole[:place], whole + b"\0"):
        newest.write_bytes(damaged)
        loaded = checkpoints.load(folder)
        assert loaded is not None
        assert loaded[1] == {"epoch": 0}
        assert torch.equal(loaded[0]["weight"], STATE["weight"])


def test_nothing_whole_is_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        checkpoints.save(tmp_path, STATE, {}).write_bytes(b"")
    assert checkpoints.load(tmp_path) is None


def test_a_damaged_newest_is_not_numbered_again(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, STATE, {"epoch": 0})
    checkpoints.save(tmp_path, STATE, {"epoch": 1}).write_bytes(b"torn")
    checkpoints.save(tmp_path, STATE, {"epoch": "again"})
    loaded = checkpoints.load(tmp_path)
    assert loaded is not None
    assert loaded[1] == {"epoch": "again"}


class _Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.canary, "ran"))


def test_a_pickle_in_disguise_is_not_run(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, STATE, {"epoch": 0})
    canary = tmp_path / "canary"
    payload = pickle.dumps(_Payload(canary))
    name = f"00000009-{hashlib.sha256(payload).hexdigest()}.safetensors"
    (tmp_path / name).write_bytes(payload)
    loaded = checkpoints.load(tmp_path)
    assert loaded is not None
    assert loaded[1] == {"epoch": 0}
    assert not canary.exists()


def test_meta_that_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        checkpoints.save(tmp_path, STATE, {"loss": float("nan")})
    assert files(tmp_path) == []


def test_a_full_disk_is_a_resource_error_and_leaves_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(tmp_path, STATE, {"epoch": 0})

    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(ResourceError, match="No space left"):
        patch.setattr(os, "replace", full)
        checkpoints.save(tmp_path, STATE, {"epoch": 1})
    assert len(files(tmp_path)) == 1
    loaded = checkpoints.load(tmp_path)
    assert loaded is not None
    assert loaded[1] == {"epoch": 0}


def test_a_file_in_the_way_is_a_resource_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        checkpoints.save(tmp_path / "file" / "folder", STATE, {})


def make_network(kind: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    network.to(memory_format=torch.channels_last)
    if kind == "adamw":
        groups = [
            {"params": network[0].parameters(), "lr": 0.1},
            {"params": network[2].parameters()},
        ]
        return network, torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.9))
    options = {"nesterov": True, "momentum": 0.9} if kind == "nesterov" else {"momentum": 0.0}
    return network, torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.01, **options)


def steps(network: nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> None:
    for number in numbers:
        batch = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        network(batch).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", ["sgd", "nesterov", "adamw"])
def test_an_optimizer_goes_on_where_it_was(tmp_path: Path, kind: str) -> None:
    whole, optimizer = make_network(kind)
    steps(whole, optimizer, range(6))

    first, optimizer = make_network(kind)
    steps(first, optimizer, range(3))
    tensors, meta = checkpoints.pack_optimizer(optimizer)
    checkpoints.save(tmp_path, tensors | first.state_dict(), {"optimizer": meta})

    loaded = checkpoints.load(tmp_path)
    assert loaded is not None
    second, optimizer = make_network(kind)
    second.load_state_dict({k: v for k, v in loaded[0].items() if not k.startswith("optimizer/")})
    checkpoints.unpack_optimizer(optimizer, loaded[0], loaded[1]["optimizer"])
    for parameter, slots in optimizer.state.items():
        for value in slots.values():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                assert value.stride() == parameter.stride()
    if kind == "adamw":
        assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)
    steps(second, optimizer, range(3, 6))
    for ours, theirs in zip(second.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
