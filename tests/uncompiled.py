"""Code in a process where numba does not work."""

from __future__ import annotations

import os
import subprocess
import sys


def without_compiler(code: str) -> str:
    """What the code prints there; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
