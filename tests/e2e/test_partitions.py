"""Training on the parts of a graph through the command line: DGL's servers, and what ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rrnet_cli.cli.hosts import _free_ports
from rrnet_cli.training.checkpoints import load
from rrnet_cli.training.served import SHARED_MEMORY
from tests.conftest import COMMAND, PATIENCE, ROOT, Result
from tests.imported import SLOW, imported

pytestmark = pytest.mark.filterwarnings("ignore")  # as in a process of its own

TRAIN = ("train", "--preset", "plus", "--partitions", "digits-pixels-2parts", "--epochs", "12",
         "--patience", "12", "--batch-size", "16", "--fanout", "3,3", "--json")  # fmt: skip

HostsFixture = Callable[..., list[subprocess.Popen[str]]]


@pytest.fixture
def parts(store: Path, invoke: Callable[..., Result]) -> Path:
    """The digits in two parts."""
    assert invoke("partition", "--parts", "2").code == 0
    return store


@pytest.fixture
def start(parts: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    begun: list[subprocess.Popen[str]] = []

    def run(*args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *TRAIN, *args],
            cwd=parts.parent,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield run
    for process in begun:
        with process:
            process.kill()


def ended(process: subprocess.Popen[str]) -> Result:
    out, err = process.communicate(timeout=PATIENCE)
    return Result(process.returncode, out, err)


def members(process: subprocess.Popen[str]) -> list[int]:
    """What a command started: its servers, then its trainers."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    spawned = []
    for child in map(int, children):
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            spawned.append(child)
    return sorted(spawned)


def await_checkpoint(store: Path, *running: subprocess.Popen[str]) -> list[float | None]:
    """The losses in the first one."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for folder in store.glob(".work/*"):
            if (found := load(folder)) is not None:
                return [row["loss"] for row in found[1]["history"][1:]]
        assert all(each.poll() is None for each in running), [
            each.communicate() for each in running
        ]
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.05)


def nothing_is_left(*ids: int) -> bool:
    left = [path.name for path in SHARED_MEMORY.glob("rrnet-dist.*")]
    mine = [name for name in left if int(name.split(".")[1]) in ids]
    return not mine and not any(Path(f"/proc/{each}").exists() for each in ids)


def losses(store: Path, artifact: str) -> list[float]:
    (path,) = store.glob(f"{artifact.replace('@', '/')}*/history.parquet")
    return pq.read_table(path)["loss"].to_pylist()[1:]  # type: ignore[no-any-return]


@pytest.fixture
def hosts(start: Callable[..., subprocess.Popen[str]], parts: Path) -> HostsFixture:
    """The command on each of two hosts."""
    text = "".join(f"127.0.0.1 {port}\n" for port in _free_ports(2))
    (parts.parent / "hosts").write_text(text)
    return lambda *args: [start("--hosts", "hosts", "--host-index", index, *args) for index in "01"]


def test_a_cached_partition_is_answered_without_torch(parts: Path) -> None:
    code, found, _ = imported(["--quiet", "partition", "--parts", "2"], SLOW, parts.parent)
    assert (code, found) == (0, [])


@pytest.mark.parametrize("messages", ["all", "known"])
def test_where_nothing_is_drawn_at_random_two_hosts_train_as_one_process(
    parts: Path, hosts: HostsFixture, invoke: Callable[..., Result], messages: str
) -> None:
    exact = ("--preset", "paper", "--batch-size", "1000", "--fanout=-1,-1", "--epochs", "3")
    exact += ("--set", f"messages={messages}")
    ours, other = map(ended, hosts(*exact))
    assert ours.code == other.code == 0, (ours, other)
    alone = invoke("train", *exact, "--patience", "6", "--json")
    assert ours.json["summary"]["parts"] == 2
    expected = losses(parts, alone.json["artifact"])
    np.testing.assert_allclose(losses(parts, ours.json["artifact"]), expected, rtol=1e-5)
    assert expected[2] < expected[0]
    again = invoke(*TRAIN, *exact, "--hosts", "hosts", "--host-index", "1")
    assert again.json["cached"] is True


def test_a_killed_trainer_ends_all_and_the_same_command_goes_on(
    parts: Path, start: Callable[..., subprocess.Popen[str]], invoke: Callable[..., Result]
) -> None:
    first = start("--local")
    before = await_checkpoint(parts, first)
    running = members(first)
    assert len(running) == 4
    os.kill(running[-1], signal.SIGKILL)
    killed = time.monotonic()
    said = ended(first)
    assert time.monotonic() - killed < 20
    assert said.code == 7
    assert said.error_lines == [
        "error: The trainer of part 1 was killed (SIGKILL); all others were ended."
    ]
    assert "resumes" in said.err
    assert nothing_is_left(first.pid, *running)

    again = ended(start("--local"))
    assert again.code == 0, again.err
    assert again.json["summary"]["epochs"] == 12
    assert losses(parts, again.json["artifact"])[: len(before)] == before
    judged = invoke("eval", again.json["artifact"], "--resamples", "50")
    assert judged.code == 0 and "RR-Net" in judged.out


def test_a_killed_server_ends_both_hosts(parts: Path, hosts: HostsFixture) -> None:
    begun = hosts()
    await_checkpoint(parts, *begun)
    running = [members(each) for each in begun]
    assert [len(some) for some in running] == [2, 2]
    os.kill(running[1][0], signal.SIGKILL)
    said = [ended(each) for each in begun]
    assert [each.code for each in said] == [7, 7]
    assert [len(each.error_lines) for each in said] == [1, 1]
    assert "The server of part 1 was killed (SIGKILL)" in said[1].err
    assert nothing_is_left(*(each.pid for each in begun), *running[0], *running[1])
