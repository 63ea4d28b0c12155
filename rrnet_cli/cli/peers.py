"""`rrnet peers`: other methods on the same graph."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def peers(
    ctx: typer.Context,
    graph: Annotated[
        str | None, typer.Argument(help="Graph artifact; the newest where left out.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Some of them, separated by commas. [all]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of their random numbers.")] = 0,
    force: Annotated[bool, typer.Option(help="Compute again even where cached.")] = False,
) -> None:
    """Run other methods on a graph, each tuned on validation, as models that `eval` can judge.

    Ratings: bias, mf, svd, svdpp, soreg, socialmf, trustmf, trustsvd, lightgcn. Classification:
    temperature, logreg, logreg-prior, knn, tip-adapter, label-spreading, label-propagation,
    correct-and-smooth, appnp, gat. Each becomes the model `<graph>-<peer>`.
    """
    from rrnet_cli import runtime

    runtime.prepare()
    from rrnet_cli.evaluation.report import text_table
    from rrnet_cli.stages.peers import run_peers

    session = ctx.obj
    outcomes = run_peers(
        store=session.store(),
        graph=graph,
        only=[name.strip() for name in only.split(",")] if only else (),
        seed=seed,
        reporter=session.reporter,
        force=force,
    )
    rows: list[dict[str, Any]] = [
        {
            "artifact": str(outcome.artifact.ref),
            "peer": outcome.artifact.manifest.params["preset"],
            "cached": outcome.cached,
            **{
                name: outcome.artifact.manifest.summary[name]
                for name in ("best", "chosen", "reference")
            },
        }
        for outcome in outcomes
    ]
    metrics = list(rows[0]["best"]) if rows else []
    table = text_table(
        ["peer", *metrics, "chosen on select", "artifact"],
        [
            [
                row["peer"],
                *(f"{row['best'][name]:.4f}" for name in metrics),
                ", ".join(f"{name} {value:g}" for name, value in row["chosen"].items()) or "—",
                row["artifact"],
            ]
            for row in rows
        ],
    )
    session.emit({"peers": rows}, table)
