"""Checkpoints of a running training: one safetensors file each, never a pickle, never a torn one.

A checkpoint file carries its own sha256 in its name, so one rename commits content and digest
together. Loading takes the newest file whose bytes match its name; a torn or flipped one is passed
over for its predecessor, which is why two are kept. Nothing is fsynced: after a power cut the worst
case is the same as a missing checkpoint, and training starts from an older one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialise_tensors
from torch import Tensor

from rrnet_cli.errors import ResourceError

KEEP = 2
_NAME = re.compile(r"(?P<number>\d{8})-(?P<digest>[0-9a-f]{64})\.safetensors")
_META_KEY = "rrnet"
_OPTIMIZER = "optimizer/"


def save(folder: Path, state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Path:
    """Write one checkpoint and drop all but the newest two.

    Args:
        folder: Made when missing; holds the checkpoints of one training and nothing else of it.
        state: Tensors of any shape and dtype, on any device; stored contiguous on the CPU.
        meta: What JSON can hold. Integers of any size and finite floats come back exactly.

    Returns:
        The file written.

    Raises:
        ResourceError: The file cannot be written (disk full, read-only folder).
        ValueError: `meta` holds NaN or an infinity, which JSON has no sign for.
    """
    # A fresh contiguous copy of each: safetensors refuses strided and shared memory.
    tensors = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
               for key, value in sorted(state.items())}  # fmt: skip
    text = json.dumps(meta, sort_keys=True, separators=(",", ":"), allow_nan=False)
    data = serialise_tensors(tensors, metadata={_META_KEY: text})
    temporary = folder / f"{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = _files(folder)
        number = _number(earlier[0]) + 1 if earlier else 0
        target = folder / f"{number:08d}-{hashlib.sha256(data).hexdigest()}.safetensors"
        temporary.write_bytes(data)
        os.replace(temporary, target)
        stale = [*earlier[KEEP - 1 :], *folder.glob("*.tmp")]
        _remove(stale)
    except OSError as error:
        _remove([temporary])
        raise ResourceError(
            f"The checkpoint in {folder} cannot be written: {error.strerror or error}.",
            "Free some disk space or choose another artifacts folder; the earlier checkpoint is "
            "still there, and the same command continues from it.",
        ) from error
    return target


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read the newest checkpoint that is whole.

    Args:
        folder: Where `save` wrote; it need not exist.

    Returns:
        The tensors (in memory of their own, contiguous) and the meta data, or None when there is
        no whole checkpoint.

    Raises:
        ResourceError: A checkpoint is there but may not be read.
    """
    for path in _files(folder):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ResourceError(
                f"The checkpoint {path} cannot be read: {error.strerror or error}.",
                "Mend the permissions, or start over with --no-resume.",
            ) from error
        if hashlib.sha256(data).hexdigest() != _match(path)["digest"]:
            continue
        with contextlib.suppress(SafetensorError, ValueError, KeyError):
            return parse_tensors(data), json.loads(_header(data)["__metadata__"][_META_KEY])
    return None


def clear(folder: Path) -> None:
    """Remove every checkpoint of `folder`, whole or not: a training starts over."""
    _remove([*_files(folder), *folder.glob("*.tmp")])


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimizer's state into tensors and JSON.

    Args:
        optimizer: Any of torch's; learning rates must be numbers.

    Returns:
        Tensors named ``optimizer/<parameter>/<slot>`` and, for `save`'s meta, the parameter groups
        and the slots that hold numbers.
    """
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    values: dict[str, dict[str, Any]] = {}
    for index, slots in state["state"].items():
        for slot, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"{_OPTIMIZER}{index}/{slot}"] = value
            else:
                values.setdefault(str(index), {})[slot] = value
    return tensors, {"groups": state["param_groups"], "values": values}


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]
) -> None:
    """Give a fresh optimizer over the same parameters the state that `pack_optimizer` took.

    Args:
        optimizer: Changed in place.
        tensors: Those of a checkpoint; names without the ``optimizer/`` prefix are passed over.
        meta: The JSON half of `pack_optimizer`.
    """
    state: dict[int, dict[str, Any]] = {
        int(index): dict(slots) for index, slots in meta["values"].items()
    }
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for key, value in tensors.items():
        if not key.startswith(_OPTIMIZER):
            continue
        index, slot = key.removeprefix(_OPTIMIZER).split("/", 1)
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            # The memory layout of the weight (channels-last): a mixed update would be slower.
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[slot] = value
    groups = [
        # JSON knows lists only; Adam's betas are a tuple.
        {key: tuple(each) if isinstance(each, list) and key != "params" else each
         for key, each in group.items()}
        for group in meta["groups"]
    ]  # fmt: skip
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _match(path: Path) -> re.Match[str]:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return match


def _number(path: Path) -> int:
    return int(_match(path)["number"])


def _files(folder: Path) -> list[Path]:
    """Checkpoints by name, newest first."""
    try:
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=_number, reverse=True)


def _header(data: bytes) -> dict[str, Any]:
    """The JSON header of a safetensors file: 8 bytes of length, then the text."""
    length = int.from_bytes(data[:8], "little")
    return dict(json.loads(data[8 : 8 + length]))


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
