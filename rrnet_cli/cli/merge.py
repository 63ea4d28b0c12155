"""`rrnet merge`: the shards of an extraction to a features artifact."""

from __future__ import annotations

from typing import Annotated

import typer


def merge(
    ctx: typer.Context,
    shards: Annotated[list[str], typer.Argument(metavar="SHARD", help="All shards, in any order.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the features. [as the shards were told]")
    ] = None,
    force: Annotated[bool, typer.Option(help="Merge again even where it is cached.")] = False,
) -> None:
    """Join all shards of an extraction to the features that one machine would have made.

    A shard is a name (`esc10-logmel-fold1-1of4`) or a path, as of another machine's store.
    """
    from rrnet_cli.cli.described import describe
    from rrnet_cli.stages.merge import merge as run

    session = ctx.obj
    outcome = run(shards, store=session.store(), name=name, reporter=session.reporter, force=force)
    session.reporter.note(describe(outcome))
    artifact = outcome.artifact
    session.emit(
        {
            "artifact": str(artifact.ref),
            "cached": outcome.cached,
            "summary": artifact.manifest.summary,
        },
        str(artifact.ref),
    )
