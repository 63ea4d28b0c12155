from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from rrnet_cli import runtime
from rrnet_cli.datasets import files


def test_the_allocator_is_tuned_on_glibc_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not runtime.tune_allocator()


def test_the_environment_opts_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRNET_TUNE_MALLOC", "0")
    assert not runtime.tune_allocator()


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("200000 100000\n", 2),
        ("150000 100000", 2),
        ("max 100000", None),
        ("", None),
        ("1 0", None),
    ],
)
def test_the_quota_of_the_control_group(tmp_path: Path, text: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert runtime._cgroup_cores(tmp_path / "cpu.max") == cores
    assert runtime._cgroup_cores(tmp_path / "none") is None


def test_threads_follow_the_cores_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "usable_cores", lambda: 3)
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    assert runtime.limit_threads() == 3
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert runtime.limit_threads() == 1


@pytest.mark.parametrize(
    ("cores", "given", "processes", "expected"),
    [(8, "8", 2, 4), (8, "8", 3, 2), (2, "2", 4, 1), (8, "3", 2, 3), (8, "1", 2, 1)],
)
def test_processes_share_the_cores(
    cores: int, given: str, processes: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "usable_cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert runtime.threads_each(processes) == expected


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (3, 3), (64, files.MAX_THREADS)])
def test_files_are_decoded_on_the_usable_cores(
    cores: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "usable_cores", lambda: cores)
    assert files.num_threads() == threads


def test_waits_are_short_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    runtime.shorten_waits()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    runtime.shorten_waits()
    assert int(os.environ["GOMP_SPINCOUNT"]) > 0
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    runtime.shorten_waits()
    assert "GOMP_SPINCOUNT" not in os.environ


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f avx512_bf16", True),
        ("fpu amx_bf16 amx_tile", True),
        ("fpu avx512f amx_tile", False),
        ("", False),
    ],
)
def test_the_processor_is_asked(tmp_path: Path, flags: str, expected: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: amx_bf16 in name only\nflags\t: {flags}\n")
    assert runtime.has_bfloat16(cpuinfo) is expected
    assert not runtime.has_bfloat16(tmp_path / "missing")
