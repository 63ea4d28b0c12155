"""The shell pipelines: their commands exist, and FAST=1 goes all the way on generated data.

Running one costs a minute or two, so only the quick start runs by default; ``RRNET_SLOW=1`` runs
all of them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from rrnet_cli.cli import reference
from rrnet_cli.recipes import load_recipe
from tests.conftest import COMMAND, ROOT

PIPELINES = sorted(path for path in (ROOT / "pipelines").glob("*.sh") if path.stem != "common")
NEED_DATA = [path.stem for path in PIPELINES if path.stem != "quickstart"]
SLOW = os.environ.get("RRNET_SLOW") == "1"

RECORD = """#!/usr/bin/env bash
printf '%s\\n' "$(printf '%q ' "$@")" >> "$LOG"
"""


def run_pipeline(name: str, cwd: Path, timeout: float = 600, **env: str) -> tuple[int, str, str]:
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("RRNET_") and key not in ("DATA", "ARTIFACTS", "RESULTS", "FAST")
    }
    clean |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RRNET": " ".join(COMMAND)}
    done = subprocess.run(
        ["bash", str(ROOT / "pipelines" / f"{name}.sh")],
        cwd=cwd,
        env=clean | env,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return done.returncode, done.stdout, done.stderr


def recorded(name: str, tmp_path: Path, **env: str) -> list[list[str]]:
    """The command lines of a pipeline, none of them run."""
    spy, log = tmp_path / "spy", tmp_path / "log"
    spy.write_text(RECORD)
    spy.chmod(0o755)
    log.unlink(missing_ok=True)
    code, _, err = run_pipeline(name, tmp_path, RRNET=str(spy), LOG=str(log), **env)
    assert code == 0, err
    return [shlex.split(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("name", NEED_DATA)
def test_without_data_a_pipeline_says_so(name: str, tmp_path: Path) -> None:
    code, out, err = run_pipeline(name, tmp_path)
    assert (code, out) == (2, "")
    assert err.splitlines()[0] == "error: DATA is not set"


@pytest.mark.parametrize("fast", ["0", "1"])
@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_flag_of_a_pipeline_exists(path: Path, fast: str, tmp_path: Path) -> None:
    known = {
        name: {option for param in command.params for option in param.opts}
        for name, command in reference.commands()
    }
    lines = recorded(path.stem, tmp_path, DATA="d", FAST=fast, RESULTS="r")
    assert {line[0] for line in lines} == {"extract", "build-graph", "train", "eval"}
    for line in lines:
        flags = {word for word in line if word.startswith("--")}
        assert flags <= known[line[0]], line


@pytest.mark.parametrize("name", NEED_DATA)
def test_the_paper_settings_are_those_of_the_recipe(name: str, tmp_path: Path) -> None:
    """Written out for the reader, and not allowed to drift from what the recipe says."""
    recipe = load_recipe(name)
    lines = recorded(name, tmp_path, DATA="d", PRESETS="paper")
    for line in lines:
        given = {
            flag[2:].replace("-", "_"): value
            for flag, value in pairwise(line)
            if flag.startswith("--")
        }
        section = {"build-graph": recipe.graph, "train": recipe.train}.get(line[0])
        for key, value in given.items():
            expected = getattr(section, key, None)
            if expected is None or key == "seed":  # not a parameter, or one the paper leaves open
                continue
            text = ",".join(expected) if isinstance(expected, tuple) else expected
            assert type(text)(value) == text, (line[0], key, value, expected)


def test_all_folds_and_both_presets_are_judged(tmp_path: Path) -> None:
    lines = recorded("esc10", tmp_path, DATA="d", RESULTS="kept")
    judged = [line for line in lines if line[0] == "eval"]
    assert [line[1:6] for line in judged] == [
        [f"esc10-logmel-fold{fold}-{preset}" for fold in range(1, 6)]
        for preset in ("paper", "plus")
    ]
    assert [line[-1] for line in judged] == [
        f"kept/esc10-logmel-{preset}.json" for preset in ("paper", "plus")
    ]
    assert (tmp_path / "kept").is_dir()


def test_only_what_was_asked_for(tmp_path: Path) -> None:
    env = {"BACKBONE": "envnet", "FOLDS": "1", "PRESETS": "plus", "EPOCHS": "60"}
    lines = recorded("esc10", tmp_path, DATA="d x", **env)
    assert [line[0] for line in lines] == ["extract", "build-graph", "train", "eval"]
    assert lines[0][:4] == ["extract", "esc10", "--data", "d x"], "spaces survive"
    assert lines[0][lines[0].index("--epochs") + 1] == "60"
    assert "--lr" not in lines[2], "plus brings its own rates"


def test_a_failing_stage_stops_the_pipeline(tmp_path: Path) -> None:
    code, out, err = run_pipeline("esc10", tmp_path, DATA="nowhere")
    assert (code, out) == (3, "")
    assert err.count("+ rrnet") == 1 and "nowhere" in err


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_pipelines_hold_nothing_but_rrnet(path: Path) -> None:
    """Flow of control, variables, and calls of `rrnet` and the two helpers of common.sh."""
    text = path.read_text().replace("\\\n", " ")
    assert "set -euo pipefail" in text
    allowed = r"(#.*|set |source |need_data |read -ra |if |fi|else|for |done|rrnet |use_preset |"
    allowed += r"keep_as |\w+\+?=|--batch-size .*\))"
    for line in filter(None, map(str.strip, text.splitlines())):
        assert re.match(allowed, line), line


def go_all_the_way(
    name: str, tmp_path: Path, layout: list[str], presets: str = "paper plus"
) -> None:
    evaluations = len(presets.split())
    if layout:
        words = [sys.executable, "-m", "tests.layouts", *layout[:1], str(tmp_path / "data")]
        subprocess.run([*words, *layout[1:]], cwd=ROOT, check=True)
    env = {"FAST": "1", "DATA": str(tmp_path / "data"), "RESULTS": "kept", "PRESETS": presets}
    code, out, err = run_pipeline(name, tmp_path, **env)
    assert code == 0, err
    assert out.count("evaluation/") == evaluations
    for kept in sorted((tmp_path / "kept").glob("*.json")):
        rows = json.loads(kept.read_text())
        assert rows and {"data", "baseline", "rrnet", "difference"} <= set(rows[0])
    assert len(list((tmp_path / "kept").glob("*.json"))) == evaluations

    code, again, err = run_pipeline(name, tmp_path, **env)
    assert code == 0, err
    stages = len(re.findall(r"^\+ rrnet", err, re.MULTILINE))
    assert err.count("cached") == stages, err
    assert re.findall(r"\w+/\S+@\w+", again) == re.findall(r"\w+/\S+@\w+", out)


def test_quickstart_goes_all_the_way_and_then_is_cached(tmp_path: Path) -> None:
    go_all_the_way("quickstart", tmp_path, [], "plus")


slow = pytest.mark.skipif(not SLOW, reason="some minutes; RRNET_SLOW=1 runs it")


@slow
def test_esc50_on_generated_data(tmp_path: Path) -> None:
    layout = ["esc50", "--per-class", "5", "--seconds", "0.5"]
    go_all_the_way("esc50", tmp_path, layout)


@slow
def test_cifar100_on_generated_data(tmp_path: Path) -> None:
    go_all_the_way("cifar100", tmp_path, ["cifar100", "--per-class", "5"])


@slow
@pytest.mark.parametrize("name", ["filmtrust", "ciao"])
def test_ratings_on_generated_data(name: str, tmp_path: Path) -> None:
    go_all_the_way(name, tmp_path, [name, "--per-class", "5"])


@slow
@pytest.mark.parametrize("name", ["esc10", "cifar10"])
def test_the_small_ones_on_generated_data(name: str, tmp_path: Path) -> None:
    go_all_the_way(name, tmp_path, [name, "--per-class", "10"])
