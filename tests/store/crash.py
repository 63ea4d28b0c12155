"""A process that kills its children while they use a store; run by `test_crash`.

``python -m tests.store.crash TEMPLATE FOLDER MODE FORCE COUNT SEED`` copies the store TEMPLATE to
``FOLDER/<i>`` and lets a forked child work there, until it dies by SIGKILL or ends:

* steps: child i dies right before the i-th operation on the file system, for all i there are;
* moments: child i dies after a random time, COUNT times.

Their parent has made an artifact before, so that the children need not import anything more and
the time they live is spent in the store. It prints a JSON list with one line a child: where, the
step or moment, and whether it was killed.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from rrnet_cli.store import Draft, Key, Store
from tests.store.samples import make_key

KEY, OTHER = make_key(), make_key("other", x=1)
OPERATIONS = frozenset(
    {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.truncate",
     "fcntl.flock", "os.listdir", "os.scandir"}
)  # fmt: skip


def build_in_pieces(draft: Draft) -> None:
    """Write a table, and a file in several pieces, so that a kill may fall between them."""
    draft.write_table("edges/t.parquet", pyarrow.table({"x": [1, 2]}))
    with draft.path("pieces.bin").open("wb", buffering=0) as file:
        for index in range(4):
            os.fsync(file.fileno())  # a step of its own
            file.write(bytes([index]) * 100_000)


def work(root: Path, key: Key, force: bool) -> None:
    store = Store(root)
    (store.workspace(key) / "checkpoint").write_bytes(b"x" * 1000)
    store.materialise(key, build_in_pieces, force=force)


def die_at(step: int, root: Path) -> None:
    """Send SIGKILL to this process right before its `step`-th operation below `root`."""
    count = 0

    def tick(target: Any) -> None:
        nonlocal count
        if isinstance(target, int) or str(target).startswith(str(root)):
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in OPERATIONS and args:
            tick(args[0])

    os.fsync = tick  # a kill cannot tell what is synced, so no need to wait for it
    sys.addaudithook(hook)


def fork(task: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            task()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


def outcome(child: int) -> bool:
    """Wait for a child; tell whether it was killed. Any other failure is one of ours."""
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if not killed and os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"a child failed with status {status}")
    return killed


def at_steps(template: Path, folder: Path, force: bool) -> list[dict[str, Any]]:
    lives: list[dict[str, Any]] = []
    while not lives or lives[-1]["killed"]:
        step = len(lives) + 1
        root = Path(shutil.copytree(template, folder / str(step)))

        def task(step: int = step, root: Path = root) -> None:
            die_at(step, root)
            work(root, KEY, force)

        lives.append({"root": str(root), "step": step, "killed": outcome(fork(task))})
    return lives


def at_moments(
    template: Path, folder: Path, force: bool, count: int, seed: int
) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    whole = math.inf
    for index in range(3):  # the least of three: a disk that hangs once would make all kills late
        root = Path(shutil.copytree(template, folder / f"whole{index}"))
        started = time.monotonic()
        outcome(fork(lambda root=root: work(root, KEY, force)))
        whole = min(whole, time.monotonic() - started)
    lives: list[dict[str, Any]] = []
    for index in range(count):
        root = Path(shutil.copytree(template, folder / str(index)))
        moment = rng.uniform(0, 1.2 * whole)
        child = fork(lambda root=root: work(root, KEY, force))
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        lives.append({"root": str(root), "moment": moment, "killed": outcome(child)})
    return lives


def main(template: str, folder: str, mode: str, force: str, count: str, seed: str) -> None:
    paths = Path(template), Path(folder)
    work(paths[1] / "rehearsal", KEY, force=False)
    if mode == "steps":
        lives = at_steps(*paths, force == "force")
    else:
        lives = at_moments(*paths, force == "force", int(count), int(seed))
    json.dump(lives, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
