"""`rrnet doctor`: one line a check, and the command that mends what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rrnet_cli.cli.console import Session
from rrnet_cli.errors import ResourceError

if TYPE_CHECKING:
    from rrnet_cli.stages.doctor import Check

_STYLES = {"ok": "green", "warn": "yellow", "FAIL": "bold red"}


def doctor(
    ctx: typer.Context,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also import DGL and pass a message (some seconds).")
    ] = False,
    device: Annotated[
        str, typer.Option("--device", help="The device you mean to train on: auto, cpu, cuda.")
    ] = "auto",
) -> None:
    """Check this installation and say in one line each what is wrong and how to mend it.

    Looks at versions, DGL's compiled library, sound codecs, word vectors, disk, memory and threads
    without importing torch or DGL. Exits with 7 when something fails.
    """
    from rrnet_cli.stages.doctor import check_all

    session: Session = ctx.obj
    checks = check_all(session.artifacts, device=device, deep=deep)
    failed = [check for check in checks if check.level == "FAIL"]
    result = {"ok": not failed, "checks": [asdict(check) for check in checks]}
    session.emit(result, lambda: _print(session, checks))
    if failed:
        raise typer.Exit(ResourceError.exit_code)


def _print(session: Session, checks: Sequence[Check]) -> None:
    """Write ``ok|warn|FAIL name: what; mend: command``, one line a check."""
    for check in checks:
        session.out.print(f"{check.level:<4}", style=_STYLES[check.level], end=" ")
        mend = f"; mend: {check.mend}" if check.mend else ""
        session.out.print(f"{check.name}: {check.what}{mend}")
