"""One command line as several processes: torchrun in this process, which alone speaks of failures.

`torchrun -m rrnet_cli train ...` starts members too; then torchrun speaks of what ends them, and
rank 0 says its own error. Members tell what went wrong by the file that torch names for that.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from rrnet_cli import runtime
from rrnet_cli.errors import ProcessLostError, ResourceError

if TYPE_CHECKING:
    from rrnet_cli.cli.boundary import Failure

_WATCH_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1
_RESUME = "run the same command again: it resumes from the last checkpoint"
_CONSEQUENCES = (ProcessLostError.__name__, "Interrupted")
"""What a process says of itself because another one ended."""


class MemberFailed(Exception):
    """A process that this one started failed, and said why."""

    def __init__(self, failure: Mapping[str, Any]) -> None:
        super().__init__(failure["message"])
        self.failure = failure


def is_member() -> bool:
    """Whether torchrun, or `launch`, started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def rank() -> int:
    """Number of this process among the members; 0 where there are none."""
    return int(os.environ.get("RANK", 0)) if is_member() else 0


def speaks() -> bool:
    """Whether errors are for this process to print: not where `launch` or rank 0 does."""
    return not _is_ours() and rank() == 0


def enter() -> None:
    """Called by a member first: it ends with the process that started it."""
    if _is_ours() and platform.system() == "Linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def leave(code: int) -> NoReturn:
    """Flush and end at once; `rrnet_cli.training.processes.join` and `app.main` say why."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def hand_up(failure: Failure) -> None:
    """Tell whoever started this member why it ends."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path is None:
        return
    said = {
        "message": failure.message,
        "errorCode": failure.exit_code,
        "extraInfo": {"timestamp": int(time.time())},
    }
    document = {"message": said, "failure": dataclasses.asdict(failure)}
    with contextlib.suppress(OSError), open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)


def launch(argv: Sequence[str], processes: int) -> None:
    """Run a command line in some processes of this machine and wait for them.

    It is `torchrun --standalone --nproc-per-node PROCESSES -m rrnet_cli ARGV` with another id. The
    cores are shared out; a smaller `OMP_NUM_THREADS` of the user stays.

    Raises:
        MemberFailed: One of them ended by an error; all have ended.
        ResourceError: One of them was killed; likewise.
        KeyboardInterrupt: This process or one of them was told to end; likewise.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(
        runtime.threads_each(processes)
    )
    options = {
        "--rdzv-backend": "c10d",
        "--rdzv-endpoint": "localhost:0",
        "--rdzv-id": _run_id(os.getpid()),
        "--local-addr": "localhost",
        "--nproc-per-node": str(processes),
        "--monitor-interval": str(_WATCH_SECONDS),
    }
    words = [word for pair in options.items() for word in pair]
    arguments = parse_args([*words, "-m", "rrnet_cli"])
    arguments.training_script_args = list(argv)  # parsed, --nproc would be an option of torchrun
    try:
        with _quiet():
            run(arguments)
    except ChildFailedError as error:
        raise _cause(error.failures, processes) from error
    except SignalException as error:
        raise KeyboardInterrupt from error


def _run_id(parent: int) -> str:
    return f"rrnet-{parent}"


def _is_ours() -> bool:
    """Whether `launch` started this process."""
    return os.environ.get("TORCHELASTIC_RUN_ID") == _run_id(os.getppid())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torchrun's log, and with the handlers of signals as they were afterwards."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _cause(failures: Mapping[int, Any], processes: int) -> BaseException:
    """The one thing to say of some `ProcessFailure`s, by rank."""
    said = {
        rank: failure.error_file_data["failure"]
        for rank, failure in sorted(failures.items())
        if "failure" in failure.error_file_data
    }
    for failure in said.values():
        if failure["kind"] not in _CONSEQUENCES:
            return MemberFailed(failure)
    for rank, failure in sorted(failures.items()):
        if failure.exitcode < 0:
            why = ", mostly for want of memory" if -failure.exitcode == signal.SIGKILL else ""
            return ResourceError(
                f"process {rank} of {processes} was killed ({failure.signal_name()}){why}; "
                "the others were ended",
                f"{_RESUME}; fewer --nproc need less memory",
            )
    if any(failure["kind"] == "Interrupted" for failure in said.values()):
        return KeyboardInterrupt()
    first = min(failures)
    return ResourceError(f"process {first} of {processes} ended before its time", _RESUME)
