"""Run a function in some processes that are one group."""

from __future__ import annotations

import io
import multiprocessing
import os
import socket
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

SECONDS = 600


def together(size: int, work: Callable[..., Any], *args: Any) -> list[Any]:
    """What `work(group, *args)`, a function of a module, gives in each process, by rank.

    Each has one thread. What fails in one of them is an AssertionError with its traceback.
    """
    # spawn: a forked child of a process whose OpenMP threads have run hangs in its first loop
    context = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes, processes = [], []
    for rank in range(size):
        ours, theirs = context.Pipe(duplex=False)
        place = (rank, size, f"tcp://127.0.0.1:{port}")
        processes.append(context.Process(target=_member, args=(theirs, place, work, args)))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        found = []
        for pipe in pipes:
            assert pipe.poll(SECONDS), "a process says nothing"
            said = torch.load(io.BytesIO(pipe.recv_bytes()))
            assert "failure" not in said, said["failure"]
            found.append(said["result"])
        return found
    finally:
        for process in processes:
            process.kill()
            process.join()


def _member(
    pipe: Connection, place: tuple[int, int, str], work: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    import torch.distributed as torch_group

    from rrnet_cli.training.processes import member

    rank, size, meeting = place
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ["LOCAL_WORLD_SIZE"] = str(size)
    try:
        torch_group.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size)
        said = {"result": work(member(), *args)}
    except BaseException:  # noqa: BLE001 - told to the test
        said = {"failure": traceback.format_exc()}
    data = io.BytesIO()
    torch.save(said, data)
    pipe.send_bytes(data.getvalue())
    pipe.close()
    os._exit(0)
