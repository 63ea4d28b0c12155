"""`rrnet eval`: models against their baselines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer


def evaluate(
    ctx: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Model artifacts: one, or those of several folds or seeds. [newest]"),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="test, or select (which the model was chosen on). [test]")
    ] = None,
    average: Annotated[
        bool | None,
        typer.Option(
            "--average/--no-average",
            help="Models of one graph answer together, by their mean. [no-average]",
        ),
    ] = None,
    resamples: Annotated[
        int | None, typer.Option(help="Paired bootstrap resamples. [2000]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the resampling. [0]")] = None,
    plots: Annotated[
        bool | None, typer.Option("--plots/--no-plots", help="Whether to draw. [plots]")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the artifact. [the model's]")] = None,
    device: Annotated[str, typer.Option(help="auto or cpu (DGL's wheel has no CUDA).")] = "auto",
    force: Annotated[bool, typer.Option(help="Judge again even where it is cached.")] = False,
    save_results: Annotated[
        Path | None,
        typer.Option("--save-results", help="Keep the main figures with provenance in this JSON."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting, as key=value.")
    ] = None,
) -> None:
    """Judge RR-Net against its baseline on the same test instances.

    Several models have to be folds or seeds of one setting; they are summed up in one table. With
    --average those of one graph, trained with several seeds, are judged as one.
    """
    from rrnet_cli.cli.parameters import resolve
    from rrnet_cli.evaluation.report import evaluation_text
    from rrnet_cli.settings import EvalSettings
    from rrnet_cli.stages.evaluate import evaluate as run

    session = ctx.obj
    settings = resolve(
        EvalSettings,
        config=config,
        sets=sets or (),
        flags={
            "split": split,
            "average": average,
            "resamples": resamples,
            "seed": seed,
            "plots": plots,
        },
        section="eval",
    )
    outcome = run(
        settings,
        store=session.store(),
        models=models or [None],
        name=name,
        reporter=session.reporter,
        force=force,
        device=device,
    )
    artifact = outcome.artifact
    report = artifact.json("metrics.json")
    if outcome.cached:
        session.reporter.note(f"cached: {artifact.ref}")
    if save_results is not None:
        _save(save_results, report, session.argv)
        session.reporter.note(f"results kept in {save_results}")
    session.emit(
        {"artifact": str(artifact.ref), "cached": outcome.cached, **report},
        f"{artifact.ref}\n{evaluation_text(report)}",
    )


def _save(path: Path, report: dict[str, Any], argv: Sequence[str]) -> None:
    from rrnet_cli.cli.provenance import code_version, shown_command
    from rrnet_cli.evaluation.results import result_rows, write_results
    from rrnet_cli.recipes import load_recipe

    recipe = report["recipe"]
    here = Path.cwd()
    rows = result_rows(
        report,
        paper=load_recipe(recipe).paper if recipe else {},
        command=shown_command(argv, here),
        commit=code_version(),
        date=datetime.now(UTC).date().isoformat(),
    )
    write_results(path, rows)
