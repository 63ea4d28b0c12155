"""`rrnet reproduce`: the paper's tables and figures."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rrnet_cli.cli.provenance import code_version
from rrnet_cli.errors import ConfigError, RRNetError

if TYPE_CHECKING:
    from rrnet_cli.cli.console import Session
    from rrnet_cli.evaluation.reproduction_pages import Reproduction
    from rrnet_cli.stages.reproduce.chain import Chain


def reproduce(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="table1, table2, table3, table4, table5, fig3 or fig4."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            envvar="RRNET_DATA",
            help="Folder of the data sets, in folders named ESC-10, cifar10, filmtrust, ciao "
            "(and ESC-50, cifar100 where they are at hand). [$RRNET_DATA]",
        ),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            metavar="full|fast", help="fast: few instances and epochs, to check the way only."
        ),
    ] = "full",
    only: Annotated[
        str | None,
        typer.Option(
            metavar="ROWS",
            help="Run these rows, separated by commas: a data set (esc10), a backbone (logmel) or "
            "both (esc10-logmel). [all that the data are there for]",
        ),
    ] = None,
    folds: Annotated[
        str | None, typer.Option(metavar="N,N", help="Folds of the sounds. [1,2,3,4,5]")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N,N", help="Splits of the ratings. [FilmTrust 0-4, Ciao 0-2]"),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            metavar="N,N", help="Values of what table5, fig3 or fig4 varies. [the target's]"
        ),
    ] = None,
    presets: Annotated[
        str,
        typer.Option(metavar="NAMES", help="paper, plus, or both; none for a table's peers alone."),
    ] = "paper,plus",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Of the baselines of sounds and pictures. [the target's]"),
    ] = None,
    peers: Annotated[bool, typer.Option(help="Run other methods on the same graphs too.")] = True,
    word_vectors: Annotated[
        str | None,
        typer.Option(metavar="PATH|NAME", help="Word vectors of the labels. [the recipes']"),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Where TARGET.md, TARGET.csv, TARGET.json (for --keep) and, of curves, TARGET.png "
            "are written: below the current folder, not in the checkout's docs.",
        ),
    ] = Path("reproduce"),
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Rows that are not run now stay as TARGET.json in --out has them, each with the "
            "commit that it was run at; of ratings columns too, where the baseline is the same.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the stages, and which are cached; run none.")
    ] = False,
) -> None:
    """Make one of the paper's tables or figures, from raw data to the page.

    A chain of the ordinary stages, each found in the store or made: an interrupted run goes on
    where it was, and what pipelines or single commands have made is used. The paper's figures, the
    baseline and both presets stand side by side, in Tables I, II and IV the best peer too; what was
    left out says "not run here".
    """
    from rrnet_cli.evaluation.kept_pages import KeptPage, read_page
    from rrnet_cli.stages.reproduce import SWEPT, TARGETS, WITH_PEERS
    from rrnet_cli.stages.reproduce import reproduce as run
    from rrnet_cli.stages.reproduce.cases import Options
    from rrnet_cli.stages.reproduce.chain import Chain, PlanningStore

    if target not in TARGETS:
        raise ConfigError(f"there is no target {target!r}", f"targets: {', '.join(TARGETS)}")
    if keep and target == "table3":
        raise ConfigError("table3 has no rows to keep", "leave out --keep: it counts in seconds")
    if values and target not in SWEPT:
        raise ConfigError(f"{target} varies no setting", "leave out --values")
    trained = [] if presets == "none" else _words(presets)
    if not trained and (target not in WITH_PEERS or not peers):
        raise ConfigError(
            "--presets none leaves nothing to run",
            f"peers alone are run for {', '.join(WITH_PEERS)}, without --no-peers",
        )
    if data is None:
        raise ConfigError("reproduce needs the data sets", "pass --data DIR, or set RRNET_DATA")
    session: Session = ctx.obj
    store = session.store()
    if dry_run:
        store = PlanningStore(store.root, verify=store.verifies)
    chosen_budget = _one_of("--budget", budget, ("full", "fast"))

    def before() -> KeptPage:
        return read_page(out / f"{target}.json", target, chosen_budget)

    if keep or chosen_budget == "fast":
        # whether rows can be kept is known before anything is run; and a page that took hours is
        # not lost to one that took seconds
        before()
    options = Options(
        data=data,
        fast=chosen_budget == "fast",
        only=_words(only),
        folds=_numbers("--folds", folds),
        seeds=_numbers("--seeds", seeds),
        values=_numbers("--values", values),
        presets=[_one_of("--presets", name, ("paper", "plus")) for name in trained],
        epochs=epochs,
        peers=peers,
        word_vectors=word_vectors,
        commit=code_version(),
        kept=before if keep else KeptPage,
    )
    chain = Chain(store, options, session.reporter)
    page = run(target, chain)
    if dry_run:
        _emit_plan(session, chain)
    else:
        _emit_page(session, page, out)


def _emit_plan(session: Session, chain: Chain) -> None:
    from rrnet_cli.evaluation.report import text_table

    rows = [[step.stage, step.name, "cached" if step.cached else "to run"] for step in chain.steps]
    session.emit(
        {
            "steps": [
                {"stage": step.stage, "name": step.name, "cached": step.cached}
                for step in chain.steps
            ]
        },
        text_table(["stage", "artifact", "state"], rows),
    )


def _emit_page(session: Session, page: Reproduction, out: Path) -> None:
    from rrnet_cli.evaluation import sweep_plots, training_curves
    from rrnet_cli.evaluation.kept_pages import Budget, page_json, read_page
    from rrnet_cli.evaluation.results import write_text

    text = page.markdown()
    budget: Budget = "fast" if page.fast else "full"
    files = []
    if page.rows:  # first: it is what a later run goes by
        files.append(out / f"{page.target}.json")
        with suppress(RRNetError):  # of another budget, or no page: no rows to name
            if lost := read_page(files[0], page.target, budget).lost(page.rows):
                session.reporter.note(f"no longer in {files[0]}: {', '.join(lost)}")
        write_text(files[0], page_json(page.target, budget, page.rows, page.training))
    for suffix, content in (("md", text), ("csv", page.csv())):
        files.append(out / f"{page.target}.{suffix}")
        write_text(files[-1], content)
    if page.panels or page.training:
        files.append(out / f"{page.target}.png")
    if page.panels:
        sweep_plots.swept(files[-1], page.panels, page.title)
    elif page.training:
        training_curves.trained(files[-1], page.training, f"{page.title}, training")
    session.reporter.note(f"written: {', '.join(map(str, files))}")
    session.emit(
        {
            "target": page.target,
            "budget": budget,
            "commit": page.commit,
            "figures": list(page.records),
            "notes": list(page.notes),
            "files": files,
        },
        text,
    )


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _numbers(flag: str, text: str | None) -> list[int]:
    words = _words(text)
    for word in words:
        if not word.isdigit():
            raise ConfigError(f"{flag} {text}: {word!r} is no number", f"for example {flag} 0,1,2")
    return [int(word) for word in dict.fromkeys(words)]


def _one_of(flag: str, value: str, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise ConfigError(f"{flag} {value} is not known", f"use {' or '.join(known)}")
    return value
