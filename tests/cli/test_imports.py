"""What answers at once must not import what is slow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.imported import SLOW, imported

LIGHT = (*SLOW, "numpy", "pyarrow", "yaml", "scipy", "safetensors")


@pytest.mark.parametrize("args", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(args: list[str], tmp_path: Path) -> None:
    code, found, _ = imported(args, (*LIGHT, "pydantic"), tmp_path)
    assert (code, found) == (0, [])


@pytest.mark.parametrize(("args", "expected"), [(["doctor", "--help"], 0), (["artefacts"], 2)])
def test_typer_itself_needs_pydantic_and_nothing_else(
    args: list[str], expected: int, tmp_path: Path
) -> None:
    """Typer converts the values of options by pydantic where that is installed."""
    code, found, _ = imported(args, LIGHT, tmp_path)
    assert (code, found) == (expected, [])


@pytest.mark.parametrize("args", [["artifacts", "ls"], ["artifacts", "--help"], ["doctor"]])
def test_the_store_and_doctor_need_neither_torch_nor_dgl(args: list[str], tmp_path: Path) -> None:
    # soundfile, which doctor asks for its codecs, imports numpy; the store needs pydantic
    _, found, _ = imported(args, SLOW, tmp_path)
    assert found == []


@pytest.mark.parametrize("command", ["extract", "build-graph", "train", "sweep", "eval", "compare"])
def test_help_of_a_stage_imports_nothing_slow(command: str, tmp_path: Path) -> None:
    code, found, _ = imported([command, "--help"], SLOW, tmp_path)
    assert (code, found) == (0, [])


def test_completion_imports_nothing_heavy(tmp_path: Path) -> None:
    script = "import sys; from rrnet_cli.cli.app import main; main()"
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "_RRNET_COMPLETE": "complete_bash",
        "COMP_WORDS": "rrnet ex",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["extract"]
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "rrnet_cli.cli.app" in modules
    assert modules.isdisjoint(LIGHT)


def seconds_of_help(module: str, cwd: Path) -> float:
    """Processor time of the best of three: the wall clock of a busy machine says nothing."""
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", module, "--help"],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
        )
        after = os.times()
        user = after.children_user - before.children_user
        seconds.append(user + after.children_system - before.children_system)
    return min(seconds)


def test_help_takes_little_more_than_that_of_typer(tmp_path: Path) -> None:
    assert seconds_of_help("rrnet_cli", tmp_path) < 2 * seconds_of_help("typer", tmp_path)
