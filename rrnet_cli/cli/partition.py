"""`rrnet partition`: a graph artifact to parts for several machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer


def partition(
    ctx: typer.Context,
    graph: Annotated[
        str | None, typer.Argument(help="Graph artifact; the newest where left out.")
    ] = None,
    parts: Annotated[int, typer.Option(min=2, help="Number of parts, one for each host.")] = 2,
    name: Annotated[
        str | None, typer.Option(help="Name of the artifact. [<graph>-<parts>parts]")
    ] = None,
    force: Annotated[bool, typer.Option(help="Cut again even where it is cached.")] = False,
) -> None:
    """Cut a graph into parts of equal size with few edges between them, by METIS."""
    from rrnet_cli.settings import PartitionSettings
    from rrnet_cli.stages.partition import partition as run

    session = ctx.obj
    outcome = run(
        PartitionSettings(parts=parts),
        store=session.store(),
        graph=graph,
        name=name,
        force=force,
    )
    artifact = outcome.artifact
    summary: Mapping[str, Any] = artifact.manifest.summary
    statistics = summary["statistics"]
    if outcome.cached:
        session.reporter.note(f"cached: {artifact.ref}")
    else:
        for what in ("nodes", "edges"):
            for kind, counts in statistics[what].items():
                cut = f", {statistics['cut'][kind]:,} cut" if what == "edges" else ""
                session.reporter.note(
                    f"{kind}: {' + '.join(f'{count:,}' for count in counts)} {what}{cut}"
                )
        session.reporter.note(f"{statistics['cut_share']:.1%} of the edges are cut")
    session.emit(
        {
            "artifact": str(artifact.ref),
            "cached": outcome.cached,
            "summary": summary,
        },
        str(artifact.ref),
    )
