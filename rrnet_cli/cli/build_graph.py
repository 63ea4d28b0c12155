"""`rrnet build-graph`: a features artifact to two Intra Graphs and one Inter Graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def build_graph(
    ctx: typer.Context,
    features: Annotated[
        str | None, typer.Argument(help="Features artifact; the newest where left out.")
    ] = None,
    k_intra: Annotated[
        int | None, typer.Option(help="Nearest neighbours of a left node. [recipe, else 10]")
    ] = None,
    k_inter: Annotated[
        int | None, typer.Option(help="Candidates of a left node. [recipe, else 20]")
    ] = None,
    k_intra_right: Annotated[
        int | None,
        typer.Option(help="Nearest neighbours of a right node; 0: none. [recipe, else 2]"),
    ] = None,
    intra: Annotated[
        str | None,
        typer.Option(help="Intra-edges: knn, links (as given) or none. [recipe, else by task]"),
    ] = None,
    inter: Annotated[
        str | None,
        typer.Option(help="Inter-edges: topk, rated or all. [recipe, else by task]"),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="What is near: cosine or l2. [recipe, else cosine]")
    ] = None,
    knn: Annotated[
        str | None,
        typer.Option(
            help="How neighbours are searched: exact, approx (needs the extra `knn`), or auto: "
            "approx where a side has more than 100,000 nodes. [recipe, else exact]"
        ),
    ] = None,
    shuffle_intra: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="A control: permute who has which intra-edges. [no]"),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="GRAPH",
            help="Graph of some of these instances, whose neighbours are extended to the others, "
            "not searched again. Its settings are the defaults.",
        ),
    ] = None,
    neighbours: Annotated[
        str | None,
        typer.Option(
            metavar="FEATURES",
            help="Other features of the same instances, whose values say which left nodes are "
            "near: a second network, say. [the features themselves]",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the artifact. [the features', and -near-FEATURES, -shuffledSEED]"
        ),
    ] = None,
    force: Annotated[bool, typer.Option(help="Build again even where it is cached.")] = False,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, as key=value.")
    ] = None,
) -> None:
    """Build the graph: neighbours or links within a modality, candidates between the two."""
    from rrnet_cli.cli.parameters import resolve
    from rrnet_cli.recipes import load_recipe
    from rrnet_cli.settings import GraphSettings
    from rrnet_cli.stages._recorded import settings_of
    from rrnet_cli.stages.build_graph import build_graph as run
    from rrnet_cli.stages.build_graph import default_settings

    session = ctx.obj
    store = session.store()
    source = store.resolve("features", features)
    if base is not None:
        extended = store.resolve("graph", base)
        base, defaults = str(extended.ref), settings_of(extended, GraphSettings)
    elif recipe := source.manifest.summary.get("recipe"):
        defaults = load_recipe(recipe).graph
    else:
        defaults = default_settings(source.manifest.summary)
    settings = resolve(
        GraphSettings,
        defaults,
        config=config,
        sets=sets or (),
        flags={
            "k_intra": k_intra,
            "k_inter": k_inter,
            "k_intra_right": k_intra_right,
            "intra": intra,
            "inter": inter,
            "metric": metric,
            "knn": knn,
            "shuffle_intra": shuffle_intra,
        },
        section="graph",
    )
    outcome = run(
        settings,
        store=store,
        features=str(source.ref),
        name=name,
        reporter=session.reporter,
        base=base,
        neighbours=neighbours,
        force=force,
    )
    manifest = outcome.artifact.manifest
    state = "cached" if outcome.cached else f"{manifest.wall_seconds:.1f} s"
    if not session.quiet:
        show_statistics(session.err, f"{manifest.name} ({state})", manifest.summary)
    session.emit(
        {
            "artifact": str(outcome.artifact.ref),
            "cached": outcome.cached,
            "summary": manifest.summary,
        },
        str(outcome.artifact.ref),
    )


def show_statistics(console: Console, title: str, summary: Mapping[str, Any]) -> None:
    """Print the statistics of a graph artifact: a row an edge type, then what is good about it.

    Args:
        console: Where to.
        title: What is counted.
        summary: Of the graph's manifest.
    """
    from rich import box
    from rich.table import Table

    statistics = summary["statistics"]
    nodes = statistics["nodes"]
    sides = (summary["left"], summary["right"])
    console.print(f"{title}: {', '.join(f'{nodes[side]:,} {side} nodes' for side in sides)}")
    table = Table(box=box.SIMPLE_HEAD, title="in-degrees", title_style="", title_justify="right")
    table.add_column("edge type", no_wrap=True)
    for heading in ("edges", "min", "10%", "50%", "90%", "max", "isolated"):
        table.add_column(heading, justify="right", no_wrap=True)
    for key, count in statistics["edges"].items():
        degrees = statistics["degrees"][key]
        spread = [degrees[quantile] for quantile in ("min", "p10", "p50", "p90", "max")]
        cells = ["-" if value is None else f"{value:g}" for value in spread]
        table.add_row(key, f"{count:,}", *cells, f"{degrees['isolated']:,}")
    console.print(table)
    for side, found in summary.get("knn", {}).items():
        console.print(
            f"{side}: approximate neighbours, {found['recall']:.1%} of the exact ones of "
            f"{found['sample']:,} sampled nodes"
        )
    for key, share in statistics.get("homophily", {}).items():
        if share is not None:
            console.print(f"{key}: {share:.1%} of the edges between fit nodes join equal labels")
    for key, recall in statistics.get("recall", {}).items():
        shown = [f"{share:.1%} ({role})" for role, share in recall.items() if share is not None]
        console.print(f"{key}: the label is among the candidates of {', '.join(shown)}")
