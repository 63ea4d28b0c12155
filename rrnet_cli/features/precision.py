"""Which device and which number format a network is trained in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from rrnet_cli.errors import ConfigError, ResourceError

Precision = Literal["float32", "bfloat16"]

GAINING = ("resnet18", "resnet50", "envnet")
"""Backbones that bfloat16 makes faster on a CPU; MobileNetV2's depthwise convolutions lose."""

_GAINING_FLAG = "amx_bf16"
"""Processors with matrix tiles gain. With `avx512_bf16` alone autocast costs more than it saves;
`benchmarks/extract_throughput.py --precision float32` and `bfloat16` show it."""


def choose_device(name: str) -> torch.device:
    """Resolve ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: Not the name of a device.
        ResourceError: A GPU is asked for and torch finds none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"There is no device {name!r}.", "Choose auto, cpu or cuda.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ResourceError(
            f"The device {name!r} is not there: torch finds {torch.cuda.device_count()} GPUs.",
            "Use --device cpu, or a torch and a driver that see the GPU.",
        )
    return device


def choose_precision(wanted: str, backbone: str, device: torch.device) -> Precision:
    """Resolve ``auto``: bfloat16 where backbone and processor gain from it.

    Args:
        wanted: ``auto``, ``float32`` or ``bfloat16``; the latter two are obeyed.
        backbone: Name of the network.
        device: Where it is trained.
    """
    if wanted != "auto":
        return "bfloat16" if wanted == "bfloat16" else "float32"
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if backbone in GAINING and cpu_gains_from_bfloat16() else "float32"


def cpu_gains_from_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether bfloat16 is faster than float32 here; False where that cannot be told."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return _GAINING_FLAG in flags.split()
