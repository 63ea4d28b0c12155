"""The four stages through the real command, each a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Result, run_command
from tests.imported import SLOW, imported

STAGES = (
    ("extract", "digits", "--limit", "8"),
    ("build-graph",),
    ("train", "--epochs", "2"),
    ("eval", "--resamples", "50"),
)
KINDS = ("features", "graph", "model", "evaluation")


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result]]:
    """The folder, and what each stage said."""
    folder = tmp_path_factory.mktemp("quickstart")
    return folder, [run_command(*stage, "--json", cwd=folder) for stage in STAGES]


def test_every_stage_makes_one_artifact(first_run: tuple[Path, list[Result]]) -> None:
    folder, results = first_run
    for result, kind in zip(results, KINDS, strict=True):
        assert result.code == 0, result.err
        assert result.json["cached"] is False
        reference = result.json["artifact"]
        assert re.fullmatch(rf"{kind}/digits-pixels(-paper)?@[0-9a-f]{{12}}", reference)
        place = folder / "artifacts" / reference.replace("@", "/")
        assert (place / "manifest.json").is_file()
    assert [path.name for path in folder.iterdir()] == ["artifacts"], "nothing beside the store"


def test_the_second_run_is_all_cached(first_run: tuple[Path, list[Result]]) -> None:
    folder, results = first_run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("manifest.json")}
    for stage, first in zip(STAGES, results, strict=True):
        again = run_command(*stage, "--json", cwd=folder)
        assert again.code == 0
        assert again.json == first.json | {"cached": True}
        assert "cached" in again.err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("manifest.json")} == before


@pytest.mark.parametrize("stage", STAGES, ids=[stage[0] for stage in STAGES])
def test_a_cached_stage_is_answered_without_torch(
    first_run: tuple[Path, list[Result]], stage: tuple[str, ...]
) -> None:
    code, found, out = imported(["--quiet", *stage], SLOW, first_run[0])
    assert (code, found) == (0, [])
    assert "@" in out


def test_the_store_can_be_moved(first_run: tuple[Path, list[Result]], tmp_path: Path) -> None:
    """No artifact knows where it lies: elsewhere, the same command finds it."""
    folder, results = first_run
    moved = tmp_path / "else where"
    moved.mkdir()
    (moved / "store").symlink_to(folder / "artifacts")
    result = run_command("--artifacts", "store", *STAGES[0], "--json", cwd=moved)
    assert result.json == results[0].json | {"cached": True}
    for manifest in folder.rglob("manifest.json"):
        assert str(folder) not in manifest.read_text()
        assert str(ROOT) not in manifest.read_text()


def test_without_json_the_reference_is_on_stdout(first_run: tuple[Path, list[Result]]) -> None:
    folder, results = first_run
    result = run_command("train", "--epochs", "2", "--quiet", cwd=folder)
    assert (result.out, result.err) == (results[2].json["artifact"] + "\n", "")


def test_evaluation_sets_the_baseline_beside_rrnet(first_run: tuple[Path, list[Result]]) -> None:
    folder, _ = first_run
    result = run_command("eval", "--resamples", "50", cwd=folder)
    for word in ("baseline", "RR-Net", "difference", "top-1"):
        assert word in result.out


def test_two_seeds_are_judged_as_one(first_run: tuple[Path, list[Result]], tmp_path: Path) -> None:
    folder = shutil.copytree(first_run[0], tmp_path / "copy")
    other = run_command("train", "--epochs", "2", "--seed", "1", "--json", cwd=folder)
    models = [first_run[1][2].json["artifact"], other.json["artifact"]]
    judged = run_command("eval", "--average", *models, "--no-plots", "--json", cwd=folder)
    assert judged.json["folds_or_seeds"] == "seed 0-1, averages of 2 models"
    assert judged.json["runs"][0]["averaged"] == models


def test_artifacts_tell_their_lineage(first_run: tuple[Path, list[Result]]) -> None:
    folder, results = first_run
    result = run_command("artifacts", "lineage", results[3].json["artifact"], cwd=folder)
    assert result.code == 0
    for made in results:
        assert made.json["artifact"] in result.out
    listed = run_command("artifacts", "ls", "--json", cwd=folder)
    names = {entry["artifact"] for entry in listed.json["artifacts"]}
    assert names == {made.json["artifact"] for made in results}
    assert run_command("artifacts", "verify", "--all", cwd=folder).code == 0


@pytest.mark.parametrize("stage", [STAGES[1], STAGES[3]], ids=lambda stage: stage[0])
def test_no_colour_codes_and_no_needless_width(
    first_run: tuple[Path, list[Result]], stage: tuple[str, ...]
) -> None:
    folder, _ = first_run
    env = {"COLUMNS": "20", "NO_COLOR": "1", "LC_ALL": "C", "TERM": "xterm-256color"}
    result = run_command(*stage, cwd=folder, env=env)
    assert result.code == 0, result.err
    assert "\x1b" not in result.out + result.err


def test_a_reader_that_leaves_early(first_run: tuple[Path, list[Result]]) -> None:
    folder, _ = first_run
    script = f'{sys.executable} -m rrnet_cli artifacts ls | true; exit "${{PIPESTATUS[0]}}"'
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True)
    assert (done.returncode, done.stderr) == (141, b"")


def test_force_makes_it_again_with_the_same_content(
    first_run: tuple[Path, list[Result]],
) -> None:
    folder, results = first_run
    reference = results[2].json["artifact"]
    place = folder / "artifacts" / reference.replace("@", "/")
    before = (place / "model.safetensors").read_bytes()
    result = run_command("train", "--epochs", "2", "--force", "--json", cwd=folder)
    assert result.json["cached"] is False and result.json["artifact"] == reference
    assert (place / "model.safetensors").read_bytes() == before
