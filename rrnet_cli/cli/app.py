"""The `rrnet` command: the table of commands, the global options and the way in."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from rrnet_cli import __version__
from rrnet_cli.cli import boundary, launch
from rrnet_cli.cli.console import Session
from rrnet_cli.cli.lazy import Entry, LazyGroup

COMMANDS = {
    "extract": Entry(
        "rrnet_cli.cli.extract:extract",
        "Raw data to features and initial probabilities of both modalities.",
        heavy=True,
    ),
    "merge": Entry(
        "rrnet_cli.cli.merge:merge",
        "Join the shards of an extraction to features.",
        heavy=True,
    ),
    "build-graph": Entry(
        "rrnet_cli.cli.build_graph:build_graph",
        "Features to two Intra Graphs and one Inter Graph.",
        heavy=True,
    ),
    "partition": Entry(
        "rrnet_cli.cli.partition:partition",
        "Cut a graph into parts for training on several machines.",
        heavy=True,
    ),
    "train": Entry("rrnet_cli.cli.train:train", "Train RR-Net on a graph.", heavy=True),
    "sweep": Entry(
        "rrnet_cli.cli.sweep:sweep", "Choose settings of training on validation.", heavy=True
    ),
    "peers": Entry(
        "rrnet_cli.cli.peers:peers", "Run other methods on a graph, to compare with.", heavy=True
    ),
    "eval": Entry(
        "rrnet_cli.cli.evaluate:evaluate",
        "Judge models: baseline, RR-Net and their difference.",
        heavy=True,
    ),
    "compare": Entry("rrnet_cli.cli.compare:compare", "Set evaluations side by side.", heavy=True),
    "reproduce": Entry(
        "rrnet_cli.cli.reproduce:reproduce",
        "Make one of the paper's tables or figures from raw data.",
        heavy=True,
    ),
    "results": Entry(
        "rrnet_cli.cli.results:results", "Tables of the kept results, generated from JSON."
    ),
    "artifacts": Entry(
        "rrnet_cli.cli.artifacts:app", "List, show, verify and clean what is in the store."
    ),
    "doctor": Entry(
        "rrnet_cli.cli.doctor:doctor", "Check this installation and say how to mend it."
    ),
}
"""Name to module: loaded only when the command runs or its own help is asked."""


class RootGroup(LazyGroup):
    """All commands of rrnet."""

    table = COMMANDS
    flags = frozenset({"--json", "--quiet", "-q", "--debug", "--no-verify", "--version"})
    valued = frozenset({"--artifacts", "--lock-timeout"})


app = typer.Typer(
    cls=RootGroup,
    name="rrnet",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rrnet {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    artifacts: Annotated[
        Path,
        typer.Option("--artifacts", metavar="DIR", envvar="RRNET_ARTIFACTS", help="The store."),
    ] = Path("artifacts"),
    json: Annotated[
        bool, typer.Option("--json", help="Write exactly one JSON document to stdout.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Trust stored bytes without checking digests.")
    ] = False,
    lock_timeout: Annotated[
        float,
        typer.Option("--lock-timeout", metavar="SECONDS", min=0, help="Longest wait for a lock."),
    ] = 600.0,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version."),
    ] = False,
) -> None:
    """RR-Net: map one modality to another by relational reasoning, in four cached stages.

    extract, build-graph, train, eval: each reads versioned artifacts and writes one. Global options
    may stand before or after the command.
    """
    session = ctx.obj if isinstance(ctx.obj, Session) else Session()
    session.artifacts, session.json, session.quiet = artifacts, json, quiet or launch.rank() > 0
    session.debug, session.verify, session.lock_timeout = debug, not no_verify, lock_timeout
    ctx.obj = session
    if ctx.invoked_subcommand is None:
        ctx.fail("Missing command.")
    if COMMANDS[ctx.invoked_subcommand].heavy:
        from rrnet_cli import runtime

        runtime.prepare()


def run(argv: Sequence[str]) -> int:
    """Run one command line in this process.

    Args:
        argv: The words after the program's name.

    Returns:
        The exit code (docs/cli.md#exit-codes); nothing is raised.
    """
    _never_fail_to_print()
    session = Session(argv=tuple(argv))
    words = list(argv)[: argv.index("--")] if "--" in argv else argv
    try:
        with boundary.terminate_as_interrupt():
            result = _invoke(list(argv), session)
        if result == boundary.INTERRUPTED:
            raise KeyboardInterrupt
        session.close()
        sys.stdout.flush()
    except BrokenPipeError:
        return _broken_pipe()
    except SystemExit as stop:
        # Typer and rich leave by SystemExit(1) when the reader of our output is gone.
        if isinstance(stop.__context__, BrokenPipeError):
            return _broken_pipe()
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:  # noqa: BLE001 - the boundary: nothing may pass it
        wants_json = (session.json or "--json" in words) and not session.emitted
        return boundary.report(error, as_json=wants_json, debug=session.debug or "--debug" in words)
    return result


def _invoke(argv: list[str], session: Session) -> int:
    """Let Typer parse and call; Typer returns the code of `typer.Exit`, or the function's value."""
    result: Any = get_command(app).main(
        args=argv, prog_name="rrnet", standalone_mode=False, obj=session
    )
    return result if type(result) is int else 0


def _never_fail_to_print() -> None:
    """A name that the terminal's encoding lacks is written escaped instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _broken_pipe() -> int:
    """Point stdout at nothing, so that the interpreter's last flush is silent."""
    with contextlib.suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.__stdout__.fileno() if sys.__stdout__ else 1)
        os.close(sink)
    return boundary.BROKEN_PIPE


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run `rrnet` and leave with its exit code.

    An error leaves without taking the interpreter down: raised in a backward pass, as an interrupt
    may be, it leaves torch's queue of that pass full. Its tensors over numpy's memory would be
    freed after the interpreter's end, for which they wait for its lock, forever (torch 2.2.1).
    """
    words = sys.argv[1:] if argv is None else argv
    if launch.is_member():
        launch.enter()
        launch.leave(run(words))
    if code := run(words):
        launch.leave(code)
    sys.exit()
