"""What a command imported, asked in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import PATIENCE, ROOT

SLOW = ("torch", "dgl", "librosa", "gensim", "sklearn", "matplotlib", "pandas", "numba", "faiss")
SCRIPT = """
import os, sys
from rrnet_cli.cli.app import run
code = run(sys.argv[2:])
found = [name for name in sys.argv[1].split(",") if name in sys.modules]
os.write(2, ("IMPORTED " + ",".join(found)).encode())
sys.exit(code)
"""


def imported(args: list[str], watched: tuple[str, ...], cwd: Path) -> tuple[int, list[str], str]:
    """Exit code, which of `watched` one command imported, and its stdout."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ",".join(watched), *args],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    names = done.stderr.rpartition("IMPORTED ")[2]
    assert "IMPORTED " in done.stderr, done.stderr
    return done.returncode, [name for name in names.split(",") if name], done.stdout
