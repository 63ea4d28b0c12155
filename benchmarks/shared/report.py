"""What all benchmark scripts do alike: processes of their own, peak memory, and JSON out.

Nothing here imports torch: on Linux a child's peak memory starts from its parent's, so a script
that measures memory has to stay small itself.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

GIB = 2**30


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a script the option that `emit` reads."""
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the record there too")


def emit(record: dict[str, Any], options: argparse.Namespace) -> None:
    """Print the record, and write it where `--json` says."""
    print(json.dumps(record, indent=2))
    if options.json is not None:
        write(record, options.json)


def write(record: dict[str, Any], path: Path) -> None:
    """Write a record as JSON."""
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read what `write` wrote."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def answer(record: dict[str, Any]) -> None:
    """Give a child's record to `in_process`."""
    print(json.dumps(record))


def in_process(script: str, *words: str) -> dict[str, Any]:
    """Run a script in a fresh process and return what it answers."""
    done = subprocess.run([sys.executable, script, *words], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        why = " (killed: is the memory enough?)" if done.returncode == -9 else ""
        sys.exit(f"{Path(script).name} {' '.join(words)} ended with {done.returncode}{why}")
    record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return record


def peak_gib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rounded(value: Any, digits: int = 4) -> Any:
    """The same record with its floats to so many significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [rounded(item, digits) for item in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value
