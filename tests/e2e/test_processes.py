"""One training by two processes through the command line, and what happens when one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from rrnet_cli.training import checkpoints
from tests.conftest import PATIENCE, ROOT, Result, begun, run_command

SAMPLED = ("train", "--preset", "plus", "--batch-size", "16", "--fanout", "3,-1", "--json")
SHORT = (*SAMPLED, "--epochs", "3")
LONG = (*SAMPLED, "--epochs", "60", "--set", "patience=60", "--nproc", "2")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.mark.filterwarnings("ignore")  # as in a process of its own
def test_two_processes_give_the_artifact_of_one(store: Path, invoke: Callable[..., Result]) -> None:
    two = run_command(*SHORT, "--nproc", "2", cwd=store.parent)
    assert two.code == 0, two.err
    assert two.json["summary"]["processes"] == 2 and two.json["summary"]["epochs"] == 3
    (model,) = store.glob(two.json["artifact"].replace("@", "/"))
    assert (model / "manifest.json").exists() and not list(store.glob(".work/*"))
    one = invoke(*SHORT)
    assert one.json["cached"] is True and one.json["artifact"] == two.json["artifact"]
    again = run_command(*SHORT, "--nproc", "2", cwd=store.parent)
    assert again.code == 0 and again.json["cached"] is True, again.err
    judged = invoke("eval", two.json["artifact"], "--resamples", "50")
    assert judged.code == 0, judged.err


def under_torchrun(*args: str, cwd: Path) -> Result:
    done = subprocess.run(
        [*TORCHRUN, "-m", "rrnet_cli", *args],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_torchrun_does_the_same(store: Path) -> None:
    done = under_torchrun(*SHORT, cwd=store.parent)
    assert done.code == 0, done.err
    assert done.json["summary"]["processes"] == 2, "one document, of the leader"
    refused = under_torchrun("train", cwd=store.parent)
    assert refused.code == 1 and len(refused.error_lines) == 1, "torchrun knows no other code"
    assert "no batch size" in refused.error_lines[0]


@pytest.mark.filterwarnings("ignore")  # as in a process of its own
def test_the_full_graph_is_not_shared(invoke: Callable[..., Result], store: Path) -> None:
    refused = invoke("train", "--nproc", "2")
    assert refused.code == 2 and len(refused.error_lines) == 1
    assert "no batch size" in refused.error_lines[0] and "--fanout" in refused.err


def test_what_all_processes_meet_is_said_once_with_its_own_code(store: Path) -> None:
    wild = ("--lr", "1e30", "--set", "optimizer=sgd", "--nproc", "2")
    done = run_command(*SHORT, *wild, cwd=store.parent)
    assert done.code == 2, done
    assert len(done.error_lines) == 1 and " became " in done.error_lines[0]
    assert done.json["error"]["type"] == "DivergedError" and "Traceback" not in done.err


@pytest.fixture
def training(store: Path) -> Iterator[subprocess.Popen[str]]:
    """Two processes that have made a checkpoint; none of their family is left afterwards."""
    with begun(
        *LONG, cwd=store.parent, until=lambda: any(store.glob(".work/*/*.safetensors"))
    ) as process:
        yield process


def members(process: subprocess.Popen[str]) -> dict[int, psutil.Process]:
    """The processes by rank."""
    children = psutil.Process(process.pid).children()
    found = {int(child.environ()["RANK"]): child for child in children}
    assert sorted(found) == [0, 1]
    return found


def gone(family: dict[int, psutil.Process]) -> bool:
    return not psutil.wait_procs(list(family.values()), timeout=10)[1]


def check_sound(store: Path, before: list[Path]) -> None:
    """Nothing half-written, and a checkpoint."""
    assert sorted(store.glob("model/*/[0-9a-f]*")) == before
    (folder,) = store.glob(".work/*")
    assert checkpoints.load(folder) is not None
    assert run_command("artifacts", "verify", "--all", cwd=store.parent).code == 0


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all_and_the_same_command_resumes(
    training: subprocess.Popen[str], store: Path, rank: int
) -> None:
    before, family = sorted(store.glob("model/*/[0-9a-f]*")), members(training)
    family[rank].kill()
    start = time.monotonic()
    out, err = training.communicate(timeout=60)
    assert time.monotonic() - start < 15
    assert training.returncode == 7, err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert f"process {rank} of 2 was killed (SIGKILL)" in line and "Traceback" not in err
    assert '"exit_code": 7' in out and gone(family)
    check_sound(store, before)
    if rank == 1:
        resumed = run_command(*LONG, cwd=store.parent)
        assert resumed.code == 0, resumed.err
        assert resumed.json["summary"]["epochs"] == 60 and not list(store.glob(".work/*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_with_130(
    training: subprocess.Popen[str], store: Path, number: signal.Signals
) -> None:
    before, family = sorted(store.glob("model/*/[0-9a-f]*")), members(training)
    training.send_signal(number)
    _, err = training.communicate(timeout=60)
    assert training.returncode == 130, err
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert errors == ["error: interrupted"] and "Traceback" not in err
    assert gone(family)
    check_sound(store, before)


def test_no_process_outlives_the_command(training: subprocess.Popen[str]) -> None:
    family = members(training)
    training.kill()
    assert gone(family)
