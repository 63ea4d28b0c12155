"""Tune the process before torch is imported: the allocator, the threads and how they wait.

Nothing here changes a result's meaning; all are opt-out by the environment.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # <malloc.h>
_TOP_PAD_BYTES = 512 * 2**20
_BFLOAT16 = frozenset({"amx_bf16", "avx512_bf16"})
_NEVER = 2**31 - 1  # bytes to be free before the heap is trimmed; mallopt takes no more
_SPINS = "10000"  # about 10 microseconds


def prepare() -> None:
    """Do all; called before a stage imports torch."""
    tune_allocator()
    limit_threads()
    shorten_waits()


def tune_allocator() -> bool:
    """Keep freed memory in the process instead of giving every large block back to the kernel.

    A full-batch step allocates and frees tensors of hundreds of megabytes. By default glibc maps
    and unmaps each of them, so every step pays for the page faults again. Here large blocks come
    from the heap, which grows by 512 MiB at a time and keeps up to 2 GiB free: for about 1 GiB more
    resident memory a training step takes about half the time.

    Returns:
        Whether it was done: not where ``RRNET_TUNE_MALLOC=0`` or the C library is not glibc.
    """
    if os.environ.get("RRNET_TUNE_MALLOC", "1") == "0" or platform.libc_ver()[0] != "glibc":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _TOP_PAD_BYTES))
    return all(mallopt(ctypes.c_int(option), ctypes.c_int(value)) == 1 for option, value in wanted)


def usable_cores() -> int:
    """Cores that this process may use: the affinity mask, capped by the control group's quota.

    torch counts the machine's cores; in a container with a smaller quota its threads then wait for
    one another.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _cgroup_cores(Path("/sys/fs/cgroup/cpu.max"))
    return max(1, min(cores or 1, quota if quota is not None else cores or 1))


def _cgroup_cores(cpu_max: Path) -> int | None:
    """Whole cores of a ``cpu.max`` file (``200000 100000`` is 2), None where there is no quota."""
    try:
        limit, period = cpu_max.read_text().split()
        return None if limit == "max" else math.ceil(int(limit) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 itself; False where that cannot be told.

    What a network gains from it differs between two processors that both have ``avx512_bf16``, and
    between networks (MobileNetV2's depthwise convolutions lose): that is to be measured.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return not _BFLOAT16.isdisjoint(flags.split())


def limit_threads() -> int:
    """Give the numeric libraries as many threads as there are usable cores.

    Returns:
        The number of threads; an ``OMP_NUM_THREADS`` of the user is left alone.
    """
    cores = os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
    # torch takes MKL's number where the two differ.
    os.environ.setdefault("MKL_NUM_THREADS", cores)
    given = cores.partition(",")[0]
    return int(given) if given.isdigit() else usable_cores()


def threads_each(processes: int) -> int:
    """Threads of each of some processes: its share of the cores, or the user's fewer."""
    return min(limit_threads(), max(1, usable_cores() // processes))


def shorten_waits() -> None:
    """Let OpenMP's threads sleep soon after their work is done.

    By default those of GNU's library, which torch uses, go on turning for milliseconds, in case
    more work comes, and take the cores from the fused engine's threads: its steps then take a
    quarter longer. An ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` of the user is left alone.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
