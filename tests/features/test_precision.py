"""Choice of device and number format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rrnet_cli.errors import ConfigError, ResourceError
from rrnet_cli.features import precision
from rrnet_cli.features.precision import choose_device, choose_precision, cpu_gains_from_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f avx512_bf16", False),
        ("fpu amx_bf16 amx_tile", True),
        ("fpu avx512f amx_tile", False),
        ("", False),
    ],
)
def test_the_processor_is_asked(tmp_path: Path, flags: str, expected: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: amx_bf16 in name only\nflags\t: {flags}\n")
    assert cpu_gains_from_bfloat16(cpuinfo) is expected
    assert not cpu_gains_from_bfloat16(tmp_path / "missing")


@pytest.mark.parametrize(
    ("backbone", "capable", "expected"),
    [
        ("resnet18", True, "bfloat16"),
        ("resnet50", True, "bfloat16"),
        ("envnet", True, "bfloat16"),
        ("mobilenet_v2", True, "float32"),
        ("resnet18", False, "float32"),
    ],
)
def test_auto_takes_what_is_faster(
    monkeypatch: pytest.MonkeyPatch, backbone: str, capable: bool, expected: str
) -> None:
    monkeypatch.setattr(precision, "cpu_gains_from_bfloat16", lambda: capable)
    assert choose_precision("auto", backbone, CPU) == expected


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
def test_a_wish_is_obeyed(wanted: str, backbone: str) -> None:
    assert choose_precision(wanted, backbone, CPU) == wanted


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto") == CPU
    assert choose_device("cpu") == CPU
    with pytest.raises(ResourceError, match="finds 0 GPUs"):
        choose_device("cuda")
    with pytest.raises(ConfigError, match="no device 'gpu'"):
        choose_device("gpu")
