"""`rrnet train`: a graph artifact to a model artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rrnet_cli.cli.console import Session
    from rrnet_cli.store.store import Outcome


def train(
    ctx: typer.Context,
    graph: Annotated[
        str | None, typer.Argument(help="Graph artifact; the newest where left out.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="paper: exactly the paper; plus: our additions. [recipe, else paper]"),
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Stack of GCN units, e.g. intra,inter; or none. [recipe]")
    ] = None,
    hidden: Annotated[int | None, typer.Option(help="Width of latent attributes. [16]")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd or adamw. [preset]")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate. [recipe or preset]")] = None,
    momentum: Annotated[float | None, typer.Option(help="Momentum of SGD. [0.9]")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay. [preset]")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs at most: steps on the full graph. [recipe or preset]")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Instances (or users) a step, on a sampled subgraph. [the full graph]"),
    ] = None,
    fanout: Annotated[
        str | None,
        typer.Option(
            help="With --batch-size: edges drawn a node, hop by hop, e.g. 10,10; -1: all."
        ),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without gain. [preset]")
    ] = None,
    objective: Annotated[str | None, typer.Option(help="bce or softmax. [preset]")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and masks. [0]")] = None,
    device: Annotated[str, typer.Option(help="auto or cpu (DGL's wheel has no CUDA).")] = "auto",
    engine: Annotated[
        str,
        typer.Option(
            help="How edge layers are computed: auto, dgl, fused (by numba), reference (torch)."
        ),
    ] = "auto",
    nproc: Annotated[
        int | None,
        typer.Option(min=1, help="With --batch-size: processes that share every batch. [1]"),
    ] = None,
    partitions: Annotated[
        str | None,
        typer.Option(help="Train on the parts of this partition artifact; --local or --hosts."),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="With --partitions: all parts on this machine.")
    ] = False,
    hosts: Annotated[
        Path | None,
        typer.Option(help="With --partitions: file with a line `address [port]` a part."),
    ] = None,
    host_index: Annotated[
        int | None, typer.Option(min=0, help="With --hosts: which line this host is, from 0.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the artifact. [<graph>-<preset>, and -no-units]")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on from the checkpoint of an interrupted run.")
    ] = True,
    force: Annotated[bool, typer.Option(help="Train again even where it is cached.")] = False,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, as key=value.")
    ] = None,
) -> None:
    """Train RR-Net on a graph, choosing the epoch on validation."""
    from rrnet_cli.cli import launch
    from rrnet_cli.cli.train_settings import train_settings
    from rrnet_cli.stages.train import assist, check_group
    from rrnet_cli.stages.train import train as run

    session = ctx.obj
    store = session.store()
    parts = None
    if partitions is not None or local or hosts is not None or host_index is not None:
        from rrnet_cli.cli.hosts import Parts

        parts = Parts.named(
            store,
            partitions,
            local=local,
            hosts=hosts,
            index=host_index,
            instead={"GRAPH": graph, "--nproc": nproc},
        )
        graph = parts.graph
    source = store.resolve("graph", graph)
    settings = train_settings(
        source,
        config=config,
        sets=sets or (),
        flags={
            "preset": preset,
            "units": units,
            "hidden": hidden,
            "optimizer": optimizer,
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "epochs": epochs,
            "batch_size": batch_size,
            "fanout": fanout,
            "patience": patience,
            "objective": objective,
            "seed": seed,
        },
    )
    if parts is not None:
        from rrnet_cli.stages.train_distributed import train_distributed

        made = train_distributed(
            settings,
            store=store,
            partition=parts.partition,
            name=name,
            reporter=session.reporter,
            hosts=parts.places,
            index=host_index,
            force=force,
            resume=resume,
            device=device,
            engine=engine,
        )
        if made is None:
            session.reporter.note(f"host {host_index} is done; the model is on host 0")
            session.emitted = True
            return
        _tell(session, made)
        return
    if nproc is not None and nproc > 1 and not launch.is_member():
        check_group(settings, nproc)
        launch.launch(session.argv, nproc)
        session.emitted = True  # by the leader
        return
    group = None
    if launch.is_member():
        from rrnet_cli.training.processes import join

        group = join()
    if group is not None and not group.leads:
        assist(
            settings, store=store, graph=str(source.ref), group=group, device=device, engine=engine
        )
        session.emitted = True
        return
    outcome = run(
        settings,
        store=store,
        graph=str(source.ref),
        name=name,
        reporter=session.reporter,
        force=force,
        resume=resume,
        device=device,
        engine=engine,
        group=group,
    )
    _tell(session, outcome)


def _tell(session: Session, outcome: Outcome) -> None:
    """What was made, and how good it is."""
    summary: Mapping[str, Any] = outcome.artifact.manifest.summary
    if outcome.cached:
        session.reporter.note(f"cached: {outcome.artifact.ref}")
    else:
        best = ", ".join(f"{key} {value:.4f}" for key, value in summary["best"].items())
        session.reporter.note(
            f"{summary['parameters']:,} parameters, {summary['epochs']} epochs, "
            f"best {summary['best_epoch']}: {best}"
        )
    session.emit(
        {"artifact": str(outcome.artifact.ref), "cached": outcome.cached, "summary": summary},
        str(outcome.artifact.ref),
    )
