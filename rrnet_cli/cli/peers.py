"""`rrnet peers`: other methods on the same graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rrnet_cli.cli.plain import table
from rrnet_cli.errors import ConfigError

if TYPE_CHECKING:
    from rrnet_cli.store.store import Outcome


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
    listing: Annotated[
        bool, typer.Option("--list", help="Say what they follow and try, and run none.")
    ] = False,
) -> None:
    """Run other methods on a graph, each tuned on validation, as models that `eval` can judge.

    Ratings: bias, mf, svd, svdpp, soreg, socialmf, trustmf, trustsvd, lightgcn. Classification:
    temperature, views (of pictures extracted with several), logreg, logreg-prior, knn, tip-adapter,
    label-spreading, label-propagation, correct-and-smooth, appnp, gat. Each becomes the model
    `<graph>-<peer>`.
    """
    session = ctx.obj
    if listing:
        if graph or only:
            raise ConfigError("--list takes neither a graph nor --only", "`rrnet peers --list`")
        session.emit(*listed())
        return
    from rrnet_cli.stages.peers import run_peers

    outcomes = run_peers(
        store=session.store(),
        graph=graph,
        only=[name.strip() for name in only.split(",")] if only else (),
        seed=seed,
        reporter=session.reporter,
        force=force,
    )
    session.emit(*made(outcomes))


def made(outcomes: Sequence[Outcome]) -> tuple[dict[str, Any], str]:
    """What each peer reaches on select, as a document and as text."""
    from rrnet_cli.evaluation.report import text_table

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
    text = text_table(
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
    return {"peers": rows}, text


def listed() -> tuple[dict[str, Any], str]:
    """All peers of both tasks, as a document and as text."""
    from rrnet_cli.evaluation.peers.registry import PEERS, peers

    rows: list[dict[str, Any]] = [
        {
            "peer": peer.name,
            "task": peer.task,
            "reference": peer.reference,
            "grid": {name: list(values) for name, values in peer.grid.items()},
            "needs": "links" if peer.social else "views" if peer.several_views else peer.library,
        }
        for task in PEERS
        for peer in peers(task)
    ]
    text = table(
        ("peer", "task", "needs", "settings tried", "reference"),
        [
            (row["peer"], row["task"], row["needs"] or "—", _tried(row["grid"]), row["reference"])
            for row in rows
        ],
    )
    return {"peers": rows}, text


def _tried(grid: Mapping[str, Sequence[float]]) -> str:
    """``reg 0.6, 1.2; dim 10``."""
    settings = (
        f"{name} {', '.join(f'{value:g}' for value in values)}" for name, values in grid.items()
    )
    return "; ".join(settings) or "—"
