"""`rrnet sweep` through the real command: table, interruption, and the run after it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.conftest import Result, begun, run_command
from tests.imported import SLOW, imported

SWEEP = ("sweep", "--grid", "epochs=3,200", "--grid", "seed=0,1", "--jobs", "2")


def weights(store: Path) -> dict[str, str]:
    """Digest of the weights of every trial, by version."""
    files = store.glob("model/*-sweep/[0-9a-f]*/model.safetensors")
    return {file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def checkpoints(store: Path) -> dict[str, str]:
    """Names of the checkpoints, and the version of the trial that each is of.

    `glob` fails on a folder that goes while it looks, which a trial's does when it is over.
    """
    found = {}
    for folder in store.glob(".work/model-*"):
        with contextlib.suppress(FileNotFoundError):
            for file in folder.glob("*.safetensors"):
                found[file.name] = folder.name.removeprefix("model-")
    return found


def short_trials_are_over(store: Path, earlier: set[str]) -> bool:
    """Whether both are kept, and each long one has made a checkpoint that is none of the `earlier`.

    A child that still imports torch might end by a signal in its own way. A model is kept a moment
    before its own checkpoints go; one that is stopped in between leaves them to `artifacts gc`,
    which is not what is tested here.
    """
    kept, saved = weights(store), checkpoints(store)
    new = {version for name, version in saved.items() if name not in earlier}
    return len(kept) == 2 and len(new) == 2 and kept.keys().isdisjoint(saved.values())


def alive(group: int) -> list[psutil.Process]:
    """What still runs of a process group, after a moment to end."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                ended = process.status() == psutil.STATUS_ZOMBIE
                left += [process] if os.getpgid(process.pid) == group and not ended else []
        if not left:
            break
        time.sleep(0.1)
    return left


def interrupt(store: Path, number: signal.Signals) -> None:
    """Begin or go on with the sweep, end it by a signal, and look at what it leaves."""
    earlier = set(checkpoints(store))
    with begun(
        *SWEEP, "--quiet", cwd=store.parent, until=lambda: short_trials_are_over(store, earlier)
    ) as sweeping:
        if number is signal.SIGINT:  # a terminal's Ctrl-C reaches every process of the group
            os.killpg(sweeping.pid, number)
        else:
            sweeping.send_signal(number)
        out, err = sweeping.communicate(timeout=60)
        assert (sweeping.returncode, out) == (130, "")
        assert err.splitlines()[0] == "error: interrupted" and "Traceback" not in err
        assert not alive(sweeping.pid), "a child is left"
    short = weights(store)
    assert len(short) == 2, "killed too late to be a test"
    assert set(checkpoints(store).values()) - short.keys(), "the checkpoint stays for the next run"
    assert not list(store.glob("*/*/.tmp-*"))


def test_an_interrupted_sweep_goes_on_to_the_same_bytes(
    made_store: Path, store: Path, tmp_path: Path
) -> None:
    whole = Path(shutil.copytree(made_store, tmp_path / "whole/artifacts", symlinks=True))
    # one trial after another: less to start, and the same
    made = run_command(*SWEEP, "--jobs", "1", "--json", cwd=whole.parent)
    assert made.code == 0, made
    for number in (signal.SIGINT, signal.SIGTERM):
        interrupt(store, number)
    before = {path: path.stat().st_mtime_ns for path in store.glob("model/*-sweep/*/*.safetensors")}

    result = run_command(*SWEEP, cwd=store.parent)
    assert result.code == 0 and "2 of 4 trials are trained already" in result.err
    assert result.out.splitlines()[-1] == made.json["artifact"]
    assert weights(store) == weights(whole)
    assert before.items() <= {path: path.stat().st_mtime_ns for path in before}.items()
    assert not any(store.glob(".work/*/*"))
    assert run_command("artifacts", "verify", "--all", cwd=store.parent).code == 0


@pytest.mark.filterwarnings("ignore")  # as in a process of its own
def test_the_printed_command_trains_the_chosen_setting(
    store: Path, invoke: Callable[..., Result]
) -> None:
    options = ("--preset", "plus", "--grid", "units=inter,intra+inter", "--set", "epochs=3")
    result = invoke("sweep", *options, "--json")
    assert result.code == 0, result.err
    best = max(result.json["trials"], key=lambda row: (row["select_top1"], -row["select_nll"]))
    (command,) = result.json["summary"]["commands"]
    trained = invoke(*command.split()[1:], "--json")
    name, _, version = trained.json["artifact"].partition("@")
    assert best["model"] == f"{name}-sweep@{version}"
    assert invoke("eval", best["model"], "--resamples", "50").code == 0


@pytest.mark.filterwarnings("ignore")  # as in a process of its own
def test_a_cached_sweep_prints_the_same_table(store: Path, invoke: Callable[..., Result]) -> None:
    options = ("--trials", "2", "--range", "lr=1e-3..1e-1:log", "--set", "epochs=2")
    first, again = (invoke("sweep", *options) for _ in range(2))
    assert first.code == again.code == 0 and first.out == again.out
    assert "cached: sweep/" in again.err and "cached: sweep/" not in first.err
    code, found, out = imported(["--quiet", "sweep", *options], SLOW, store.parent)
    assert (code, found, out) == (0, [], first.out), "answered without torch"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "there is nothing to vary"),
        (("--grid", "hiden=8"), "unknown key `hiden` (the sweep); did you mean `hidden`?"),
        (("--grid", "lr=fast"), "lr: input should be a valid number"),
        (("--grid", "units=inter+outer"), "units.1: input should be 'intra' or 'inter'"),
        (("--range", "lr=0.1..0.2"), "a range has no end of values: lr"),
        (("--grid", "lr=0.1", "--set", "lr=0.2"), "lr is varied and given at once"),
        (("--grid", "preset=paper,plus", "--preset", "plus"), "preset is varied and given at once"),
        (("--grid", "seed=0,1", "--seed", "2"), "seed is varied and given at once"),
    ],
)
def test_a_wrong_sweep_is_refused_in_one_line(
    store: Path, invoke: Callable[..., Result], options: tuple[str, ...], message: str
) -> None:
    result = invoke("sweep", *options)
    assert (result.code, result.out) == (2, "")
    assert len(result.error_lines) == 1 and message in result.err
    assert not list(store.glob("model/*-sweep"))
