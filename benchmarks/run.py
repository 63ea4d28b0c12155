"""Run every benchmark in turn, print one table, and keep the figures: `make bench`.

    python benchmarks/run.py [--quick] [--only NAME ...] [--json docs/results/bench.json]

The file has the flat figures that the goals are set for, the raw records of the scripts beside, and
what they were measured on. A script that fails is named there, its figures are left out, and the
exit code is 1. `--quick` takes small sizes to see that all runs; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from shared.report import GIB, add_json, read, rounded, write

from rrnet_cli.cli.provenance import code_version
from rrnet_cli.evaluation.results import BENCHMARKS
from rrnet_cli.runtime import usable_cores

FOLDER = Path(__file__).parent
THREE_SIZES = ["--scale", "0.1", "0.3", "1", "--rounds", "2"]
SCRIPTS: dict[str, tuple[list[str], list[str]]] = {
    "startup.py": ([], ["--rounds", "3"]),
    "store.py": ([], ["--megabytes", "8", "--rounds", "2"]),
    "knn.py": (["--rounds", "3"], ["--nodes", "2000", "--dim", "64"]),
    "sampling.py": ([], ["--nodes", "2000", "4000", "--batch", "256"]),
    "ddp.py": ([], ["--nodes", "2000", "--batch", "256", "--rounds", "1"]),
    "train_step.py": (THREE_SIZES, ["--scale", "0.01", "0.02"]),
    "train_step.py --size filmtrust": (["--rounds", "2"], ["--scale", "0.02"]),
    "extract_throughput.py": ([], ["--batch-size", "8", "--steps", "2", "--rounds", "1"]),
}
"""The scripts with their arguments, in full and in quick form."""

GOALS = {
    "step_vs_naive_dgl": ">= 8",
    "step_vs_naive_pyg": ">= 10",
    "step_memory_ratio": ">= 6",
    "step_filmtrust_vs_naive_dgl": ">= 20",
    "step_vs_bandwidth_limit": "<= 3",
    "growth_exponent": "<= 1.05",
    "knn_vs_faiss_flat": ">= 2.5",
    "ddp_2_vs_1": ">= 1",
    "help_seconds": "< 0.5",
}
"""The flat figures and their goals: what a script's record has at its top under these names."""

SHOWN = {
    *("seconds", "peak_gib", "peak_mib", "over_limit", "exponents", "recall"),
    *("epoch_cpu_seconds", "sampled_edges"),
    *("megabytes_per_second", "images_per_second", "overhead_over_bare"),
    *("speedup_over_dataloader", "speedup_over_dataloader_tuned"),
}
"""Numbers of a record that have a line of the table, by their own name or that of a group."""
PACKAGES = ("torch", "dgl", "torch_geometric", "numba", "numpy", "scikit-learn", "pyarrow", "typer")


def commit() -> str:
    """Of the checkout; with `-dirty` where the code or the benchmarks have changes."""
    code, benchmarks = code_version(), code_version(FOLDER)
    return benchmarks if benchmarks.endswith("-dirty") else code


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    return {
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_gib": psutil.virtual_memory().total / GIB,
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": os.getloadavg()[0],
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def cpu_model() -> str:
    """As the kernel names it, else what Python knows."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def versions() -> dict[str, str | None]:
    """Of Python and of the packages that are compared; None where one is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def run(name: str, words: list[str]) -> dict[str, Any] | None:
    """The record of a script; None if it fails, which it says itself on stderr."""
    script, *own = name.split()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        command = [sys.executable, str(FOLDER / script), *own, *words, "--json", str(path)]
        sys.stderr.write(f"== {' '.join([script, *own, *words])}\n")
        done = subprocess.run(command, stdout=subprocess.DEVNULL)
        return read(path) if done.returncode == 0 else None


def leaves(record: dict[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """All numbers of a record, with their dotted paths."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{path}{key}", value


def is_shown(path: str) -> bool:
    """Whether a number has a line of the table; of two variants, each has, and not their ratio."""
    *groups, name = path.split(".")
    return not SHOWN.isdisjoint([*groups, name]) and not any("_over_" in group for group in groups)


def table(flat: dict[str, float], records: dict[str, dict[str, Any]]) -> str:
    """One Markdown table: the flat figures with their goals, then the raw ones."""
    rows = [("", name, f"{flat[name]:g}", goal) for name, goal in GOALS.items() if name in flat]
    rows += [
        (name, path, f"{value:g}", "")
        for name, record in records.items()
        for path, value in leaves(record)
        if is_shown(path)
    ]
    lines = ["| benchmark | what | figure | goal |", "| --- | --- | ---: | ---: |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> int:
    options = parse()
    report: dict[str, Any] = {
        "kind": BENCHMARKS,
        "quick": options.quick,
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
    }
    records, failed = {}, []
    for name in options.only:
        full, quick = SCRIPTS[name]
        record = run(name, quick if options.quick else full)
        if record is None:
            failed.append(name)
        else:
            records[name] = record
    flat = {name: record[name] for record in records.values() for name in GOALS if name in record}
    missing = [name for name in GOALS if name not in flat]
    report = flat | report | {"missing": missing, "failed": failed, "raw": records}
    sys.stdout.write(table(flat, records) + "\n")
    if options.json is not None:
        write(rounded(report), options.json)
    if missing:
        sys.stderr.write(f"without a figure: {', '.join(missing)}\n")
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
