"""`rrnet sweep`: settings of training, tried on validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rrnet_cli.errors import ConfigError


def sweep(
    ctx: typer.Context,
    graph: Annotated[
        str | None, typer.Argument(help="Graph artifact; the newest where left out.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="What is varied starts here: paper or plus. [recipe]")
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUES",
            help="Values to try, e.g. hidden=8,16,32 or units=inter,intra+inter. Again for more.",
        ),
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="KEY=LOW..HIGH[:log]",
            help="Numbers to draw from, e.g. lr=1e-4..1e-2:log. Again for more.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Draw so many settings at random. [every one of the grid]"),
    ] = None,
    sweep_seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    seed: Annotated[
        int | None, typer.Option(help="Seed of weights and masks; several: --grid seed=0,1,2. [0]")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time.")] = 1,
    name: Annotated[
        str | None, typer.Option(help="Name of the artifact. [<graph>-<preset>-sweep]")
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Rank again even where cached; trained trials stay.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting that is not varied, key=value.")
    ] = None,
) -> None:
    """Try settings of `train` on a graph and choose on validation; test labels are not read.

    Every trial is a model as `train` makes it, so what is trained already is free and a sweep that
    was interrupted goes on where it was. With --trials each key is drawn at random, but for the
    seed: every setting is trained with every seed of --grid seed=… and judged by the mean.
    """
    from rrnet_cli.cli.train_settings import train_options, train_settings
    from rrnet_cli.evaluation.sweeps import sweep_text
    from rrnet_cli.stages.sweep import TRIALS, Trial, varied
    from rrnet_cli.stages.sweep import sweep as run
    from rrnet_cli.training import search

    session = ctx.obj
    space = search.parse(grid or (), ranges or (), trials, sweep_seed)
    _refuse_fixed([*space.grid, *space.ranges], sets or (), preset=preset, seed=seed)
    store = session.store()
    source = store.resolve("graph", graph)
    flags = {"preset": preset, "seed": seed}
    # equal ones once: 0.1 and 0.10 are two texts of one setting
    candidates = dict.fromkeys(
        train_settings(source, config=config, sets=sets or (), flags=flags, trial=trial)
        for trial in search.trials(space)
    )
    session.reporter.note(f"{len(candidates)} different trials")
    outcome = run(
        space,
        [Trial(settings, train_options(settings, source)) for settings in candidates],
        store=store,
        graph=str(source.ref),
        name=name,
        jobs=jobs,
        reporter=session.reporter,
        force=force,
    )
    artifact = outcome.artifact
    if outcome.cached:
        session.reporter.note(f"cached: {artifact.ref}")
    summary: Any = artifact.manifest.summary
    rows = artifact.table(TRIALS).to_pylist()
    session.emit(
        {
            "artifact": str(artifact.ref),
            "cached": outcome.cached,
            "summary": summary,
            "trials": rows,
        },
        f"{sweep_text(rows, varied(space), summary['commands'])}\n\n{artifact.ref}",
    )


def _refuse_fixed(varied: Sequence[str], sets: Sequence[str], **flags: object) -> None:
    """Refuse a setting that is varied and given at once.

    Raises:
        ConfigError: Names it.
    """
    given = {word.partition("=")[0].strip() for word in sets}
    given |= {name for name, value in flags.items() if value is not None}
    for key in varied:
        if key in given:
            raise ConfigError(f"{key} is varied and given at once", "leave one of the two out")
