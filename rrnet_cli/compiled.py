"""Kernels compiled once for all processes, and never taken for one another.

numba's cache is an index, which names a file for each signature, and these files; they are written
one after the other without a lock. Two processes that compile different widths at once, as trials
of a sweep do, or one that is killed in between, can leave an entry whose file is another width's
kernel. numba would call it: it writes past the ends of its arrays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import Any

from numba import njit
from numba.core import config
from numba.core.caching import FunctionCache

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("NUMBA_DISABLE_JIT is set")


class _CheckedCache(FunctionCache):
    """numba's cache, which looks at what it found."""

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was kept for a signature; None where it is for another, so it is compiled anew.

        numba reads the entries of all versions of `rrnet` that were kept for a kernel's file; those
        of one whose types are not where they were cannot be read, and are forgotten.
        """
        try:
            found = super()._load_overload(sig, target_context)
        except (AttributeError, ImportError):
            with suppress(OSError):
                self.flush()
            return None
        return found if found is not None and found.signature.args == tuple(sig) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep it, if there is room: a full disk costs the next process some seconds."""
        with suppress(OSError):
            super().save_overload(sig, data)


def kernel(function: Callable[..., None]) -> Any:
    """`njit` without the global interpreter lock, and with a cache.

    Raises:
        RuntimeError: There is no place that the cache can be written to.
    """
    dispatcher: Any = njit(nogil=True)(function)
    dispatcher._cache = _CheckedCache(function)  # as `cache=True` does with numba's own
    return dispatcher


def run(kernel: Callable[..., None], tasks: Sequence[tuple[Any, ...]]) -> None:
    """Call the kernel once a task, each on a thread of its own."""
    if len(tasks) == 1:
        kernel(*tasks[0])
        return
    list(_pool(os.getpid(), len(tasks)).map(lambda task: kernel(*task), tasks))


@lru_cache(maxsize=2)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process: a fork has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix="rrnet-kernel")
