"""The error boundary: a failure becomes one line, a hint and an exit code.

The codes are those of docs/cli.md#exit-codes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from rrnet_cli.cli import launch
from rrnet_cli.errors import ResourceError, RRNetError

INTERRUPTED, BROKEN_PIPE = 130, 141
_NO_RESOURCE = {
    errno.ENOSPC: ("the disk is full", "free some space, or choose another store by --artifacts"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or use another --artifacts"),
    errno.EROFS: ("the file system is read-only", "choose a writable store by --artifacts DIR"),
    errno.EACCES: ("permission denied", "check its owner and mode, or use another --artifacts"),
    errno.EPERM: ("operation not permitted", "check its owner and mode"),
    errno.EMFILE: ("too many open files", "raise the limit by `ulimit -n`"),
    errno.ENOMEM: ("not enough memory", "close other programs, or choose smaller settings"),
    errno.EIO: ("the disk reports an input/output error", "check the disk"),
}
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory")
_INTERRUPT_HINT = "run the same command again: it resumes from the last checkpoint"


@dataclass(frozen=True)
class Failure:
    """What is said of an error.

    Attributes:
        kind: Name of the class, for ``--json``.
        message: One line; a list of several configuration errors has one more line each.
        hint: What to do about it.
        exit_code: Of the process.
    """

    kind: str
    message: str
    hint: str | None
    exit_code: int


def classify(error: BaseException) -> Failure:
    """Name the exit code, the line and the hint of any exception."""
    if isinstance(error, RRNetError):
        return Failure(type(error).__name__, error.message, error.hint, error.exit_code)
    if isinstance(error, launch.MemberFailed):
        return Failure(**error.failure)
    if isinstance(error, KeyboardInterrupt):
        return Failure("Interrupted", "interrupted", _INTERRUPT_HINT, INTERRUPTED)
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        return _usage(error)
    resource = _resource(error)
    if resource is not None:
        return Failure("ResourceError", resource[0], resource[1], ResourceError.exit_code)
    return Failure(
        type(error).__name__,
        f"unexpected {type(error).__name__}: {_one_line(error)}",
        "this is a bug; run again with --debug to see where",
        1,
    )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _usage(error: BaseException) -> Failure:
    """Typer's own complaint about the command line."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "rrnet"
    message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    code = int(error.exit_code)  # type: ignore[attr-defined]
    hint = f"see `{path} --help`"
    if message == "Missing command." and context is not None:
        hint += f"; commands: {', '.join(context.command.commands)}"
    return Failure("UsageError", message, hint, code)


def _resource(error: BaseException) -> tuple[str, str] | None:
    """The line and hint where the environment is to blame, not the program."""
    if isinstance(error, ImportError):
        return _import_error(error)
    if isinstance(error, MemoryError) or any(text in str(error) for text in _OUT_OF_MEMORY):
        return "not enough memory", "close other programs, or choose smaller settings"
    if isinstance(error, FileNotFoundError) and "graphbolt" in str(error):
        return "DGL does not find its compiled library for this torch", "see `rrnet doctor`"
    if isinstance(error, OSError) and error.errno in _NO_RESOURCE:
        what, hint = _NO_RESOURCE[error.errno]
        where = f"{error.filename}: " if error.filename else ""
        return where + what, hint
    if isinstance(error, OSError) and "shared object" in str(error):
        return f"a compiled library does not load: {_one_line(error)}", "see `rrnet doctor`"
    return None


def _import_error(error: ImportError) -> tuple[str, str] | None:
    """A missing or broken dependency; None where the module is our own (that is a bug)."""
    name = (error.name or "").partition(".")[0]
    if name == "rrnet_cli":
        return None
    from rrnet_cli.stages.doctor import pip_line

    missing = isinstance(error, ModuleNotFoundError)
    what = (
        f"the library {name!r} is not installed"
        if missing
        else f"import failed: {_one_line(error)}"
    )
    return what, f"{pip_line(name)}; `rrnet doctor` checks the others"


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Say on stderr what went wrong (under --json also on stdout) and give the exit code.

    Of several processes that run one command line, one says it.
    """
    failure = classify(error)
    launch.hand_up(failure)
    with contextlib.suppress(OSError):  # nobody listens: the exit code still tells
        if debug:
            traceback.print_exception(error)
        if launch.speaks():
            say_failure(failure, as_json=as_json)
    return failure.exit_code


def say_failure(failure: Failure, *, as_json: bool) -> None:
    """Write the error line, the hint and, under --json, the one document."""
    from rrnet_cli.cli.console import plain_console

    console = plain_console(stderr=True)
    message = failure.message.strip()
    console.print("error:", style="bold red", end=" ")
    console.print(message)
    if failure.hint:
        console.print("hint:", style="bold", end=" ")
        console.print(" ".join(failure.hint.split()))
    if as_json:
        document = {
            "type": failure.kind,
            "message": message,
            "hint": failure.hint,
            "exit_code": failure.exit_code,
        }
        sys.stdout.write(json.dumps({"error": document}, indent=2) + "\n")


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C, so that checkpoints and temporary files are left in order."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: whoever embeds us handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
