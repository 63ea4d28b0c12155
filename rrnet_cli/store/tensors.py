"""Tensors as safetensors: canonical bytes out, headers compared with the manifest in.

The library validates the header (size, offsets, overlaps, overflow) but has no checksum, and does
not say which tensors there should be.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rrnet_cli.store.manifest import FileRecord, TensorRecord

if TYPE_CHECKING:
    import numpy as np
    import torch

_OS_ERROR = re.compile(r"os error (\d+)")
_DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}
"""The element types there may be: numpy's name and that of safetensors."""


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor | np.ndarray[Any, Any]]
) -> dict[str, Any]:
    """Write a new safetensors file; equal content gives equal bytes.

    Args:
        path: Where.
        tensors: Of any shape, on any device, contiguous or not; torch or numpy.

    Returns:
        The field `tensors` of its `FileRecord`.

    Raises:
        ValueError: An element type numpy does not have (bfloat16).
        OSError: From the disk.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {name: _as_array(name, tensors[name]) for name in sorted(tensors)}
    try:
        save_file(arrays, str(path))
    except SafetensorError as error:
        raise _as_os_error(error, path) from error
    records = {
        name: TensorRecord(dtype=array.dtype.name, shape=array.shape)
        for name, array in arrays.items()
    }
    return {"tensors": records}


def read_tensors(path: Path, record: FileRecord) -> dict[str, torch.Tensor]:
    """Memory-map a safetensors file as torch tensors (private: writing to them is not saved).

    Raises:
        ValueError: It is no safetensors file or disagrees with its record.
    """
    with _open(path, record, "pt") as file:
        return {name: file.get_tensor(name) for name in record.tensors or {}}


def read_arrays(path: Path, record: FileRecord) -> dict[str, np.ndarray[Any, Any]]:
    """Read a safetensors file as numpy arrays, without torch.

    Raises:
        ValueError: It is no safetensors file or disagrees with its record.
    """
    with _open(path, record, "numpy") as file:
        return {name: file.get_tensor(name) for name in record.tensors or {}}


def check_tensors(path: Path, record: FileRecord) -> None:
    """Compare a safetensors header with its record without reading a tensor.

    Raises:
        ValueError: They disagree.
    """
    with _open(path, record, "numpy"):
        pass


@contextmanager
def _open(path: Path, record: FileRecord, framework: Literal["pt", "numpy"]) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework=framework) as file:
            _check_header(file, record.tensors or {})
            yield file
    except (SafetensorError, OSError) as error:
        raise ValueError(f"not sound safetensors: {error}") from error


def _check_header(file: Any, recorded: Mapping[str, TensorRecord]) -> None:
    names = set(file.keys())
    if names != set(recorded):
        odd = sorted(names ^ set(recorded))[:5]
        raise ValueError(f"{len(names)} tensors, its manifest lists {len(recorded)}: see {odd}")
    for name, expected in recorded.items():
        header = file.get_slice(name)
        dtype, shape = header.get_dtype(), tuple(header.get_shape())
        if dtype != _DTYPES.get(expected.dtype) or shape != expected.shape:
            raise ValueError(
                f"tensor {name!r} is {dtype} {shape}, "
                f"its manifest says {expected.dtype} {expected.shape}"
            )


def _as_array(name: str, tensor: torch.Tensor | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    torch = sys.modules.get("torch")  # not imported: then no argument can be a torch tensor
    if torch is not None and isinstance(tensor, torch.Tensor):
        if tensor.dtype is torch.bfloat16:
            raise ValueError(f"tensor {name!r} is bfloat16; store it as float32")
        tensor = tensor.detach().cpu().contiguous().numpy()
    array = np.asarray(tensor, order="C")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.name not in _DTYPES:
        raise ValueError(f"tensor {name!r} has elements of type {array.dtype}")
    return array


def _as_os_error(error: Exception, path: Path) -> OSError:
    found = _OS_ERROR.search(str(error))
    if found is None:
        return OSError(None, str(error), str(path))
    code = int(found.group(1))
    return OSError(code, os.strerror(code), str(path))
