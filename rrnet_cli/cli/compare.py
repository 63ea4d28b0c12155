"""`rrnet compare`: evaluations side by side."""

from __future__ import annotations

from typing import Annotated

import typer


def compare(
    ctx: typer.Context,
    refs: Annotated[list[str], typer.Argument(help="Two or more evaluation artifacts.")],
) -> None:
    """Set evaluations side by side, and each RR-Net against the first one's.

    The last column is a paired difference; it is there where both judged the same instances.
    """
    from rrnet_cli.evaluation.report import comparison_table, text_table
    from rrnet_cli.stages.compare import compare as run

    session = ctx.obj
    evaluations = run(session.store(), refs)
    session.emit({"evaluations": evaluations}, text_table(*comparison_table(evaluations)))
