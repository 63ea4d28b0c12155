"""Seconds of `rrnet --help`, of a bare Typer application's `--help`, and of Python alone.

Each is a fresh process with warm file caches, all three in turn in every round.

    python benchmarks/startup.py [--rounds 10] [--json PATH]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from functools import partial

from shared.report import add_json, emit, rounded, timed

TYPER = """
import typer

app = typer.Typer()


@app.command()
def main(name: str) -> None:
    "Say hello."


app()
"""
COMMANDS = {
    "rrnet": [sys.executable, "-m", "rrnet_cli", "--help"],
    "typer": [sys.executable, "-c", TYPER, "--help"],
    "python": [sys.executable, "-c", "pass"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    add_json(parser)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(options.rounds + 1):
        for name, words in COMMANDS.items():
            taken = timed(partial(subprocess.run, words, check=True, capture_output=True))
            if number:  # the first fills the caches
                seconds[name].append(taken)
    record: dict[str, object] = {
        "help_seconds": statistics.median(seconds["rrnet"]),
        "rounds": options.rounds,
        "seconds": {
            name: {"median": statistics.median(taken), "min": min(taken)}
            for name, taken in seconds.items()
        },
    }
    for peer in ("typer", "python"):
        pairs = zip(seconds["rrnet"], seconds[peer], strict=True)
        record[f"help_over_{peer}"] = statistics.median(ours / theirs for ours, theirs in pairs)
    emit(rounded(record), options)


if __name__ == "__main__":
    main()
