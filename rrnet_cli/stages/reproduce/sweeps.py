"""Table V, Fig. 3 and Fig. 4: one setting is varied, the others are the recipes'."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation.published import FIGURE_3_BEST, FIGURE_4_BEST, TABLE_5, Published
from rrnet_cli.evaluation.reproduction import ResultLine
from rrnet_cli.evaluation.reproduction_pages import (
    Reproduction,
    comparison_section,
    line_records,
)
from rrnet_cli.evaluation.sweep_panels import sweep_panels
from rrnet_cli.stages.reproduce.cases import Case, Options, filmtrust, picture, sound
from rrnet_cli.stages.reproduce.chain import Chain
from rrnet_cli.stages.reproduce.lines import Line, Results, chosen
from rrnet_cli.store.artifact import Artifact

COMMON_NOTES = (
    "The figures are of test instances. Nothing was chosen by them: presets keep their settings.",
    "Peers have none of these settings; they stand in Tables I, II and IV.",
)


@dataclass(frozen=True)
class Sweep:
    """One setting and its values.

    Attributes:
        target, title: Of the page.
        symbol: What the setting is called in tables and names of artifacts.
        label: Of the axis.
        values: By data set.
        graph: What a value changes in `build-graph`.
        train: What it changes in `train`.
        printed: The paper's figures, by data set and value.
        notes: Below the table.
    """

    target: str
    title: str
    symbol: str
    label: str
    values: Mapping[str, Sequence[int]]
    graph: Callable[[int], dict[str, object]] = lambda value: {}
    train: Callable[[int], dict[str, object]] = lambda value: {}
    printed: Mapping[str, Mapping[int, Published]] | None = None
    notes: Sequence[str] = ()


def units(number: int) -> dict[str, object]:
    """A stack of so many units: pairs of intra and inter, and one more inter where it is odd.

    Two and five give the stacks of the paper (Sec. IV-A2, IV-B2).
    """
    return {"units": ("intra", "inter") * (number // 2) + ("inter",) * (number % 2)}


def table5(chain: Chain) -> Reproduction:
    """Accuracy by the number K of candidates."""
    candidates = range(2, 11)
    return _page(
        chain,
        Sweep(
            "table5",
            "Table V: number of candidates",
            "K",
            "candidates of an instance, K",
            {"ESC-10": candidates, "CIFAR-10": candidates}
            | {data: tuple(printed) for data, printed in TABLE_5.items()},
            graph=lambda value: {"k_inter": value},
            printed=TABLE_5,
            notes=["The paper varies K on ESC-50 and CIFAR-100; here 10 classes allow K up to 10."],
        ),
    )


def figure3(chain: Chain) -> Reproduction:
    """The metric by the width h of latent attributes."""
    return _page(
        chain,
        Sweep(
            "fig3",
            "Fig. 3: width of latent attributes",
            "h",
            "width of latent attributes, h",
            dict.fromkeys(FIGURE_3_BEST, (4, 8, 16, 32, 64)),
            train=lambda value: {"hidden": value},
            notes=[f"Best in the paper, which prints no figures: {_listed(FIGURE_3_BEST)}."],
        ),
    )


def figure4(chain: Chain) -> Reproduction:
    """The metric by the number of units."""
    return _page(
        chain,
        Sweep(
            "fig4",
            "Fig. 4: number of units",
            "units",
            "units",
            dict.fromkeys(FIGURE_4_BEST, range(1, 8)),
            train=units,
            notes=[
                "The stack is pairs of intra and inter, and one more inter where it is odd: two "
                "and five are the paper's own stacks.",
                f"Best in the paper, which prints no figures: {_listed(FIGURE_4_BEST)}.",
            ],
        ),
    )


def lines(sweep: Sweep, options: Options) -> list[Line]:
    """One line a data set."""
    cases = {
        "ESC-10": lambda: sound("ESC-10", "logmel", options),
        "ESC-50": lambda: sound("ESC-50", "logmel", options),
        "FilmTrust": lambda: filmtrust(options),
        "CIFAR-10": lambda: picture("CIFAR-10", "resnet18"),
        "CIFAR-100": lambda: picture("CIFAR-100", "resnet18"),
    }
    found = {data: cases[data]() for data in sweep.values}
    backbones = {"once": "ResNet18", "fold": "logmel", "seed": "rating-bias"}
    return [Line(data, backbones[case.vary], case) for data, case in found.items()]


def _page(chain: Chain, sweep: Sweep) -> Reproduction:
    options = chain.options
    every = lines(sweep, options)
    wanted = chosen(every, options)
    # the fast are of the middle, as the recipe's own value is often there already
    values = {data: all_[1:3] if options.fast else all_ for data, all_ in sweep.values.items()}
    _check_values(sweep, options.values, [value for line in wanted for value in values[line.data]])
    rows: list[ResultLine] = []
    for line in every:
        metric = "rmse" if line.data == "FilmTrust" else "top1"
        for value in values[line.data]:
            results = Results()
            asked = not options.values or value in options.values
            if asked and line in wanted and line.case is not None:
                results = _run(chain, sweep, line.case, value)
            printed = (sweep.printed or {}).get(line.data, {}).get(value)
            paper = {} if printed is None else {metric: printed}
            (row,) = results.lines(replace(line, paper=paper), [metric], options.commit)
            rows.append(replace(row, setting=(sweep.symbol, value)))
    rows = options.kept().filled(rows)
    return Reproduction(
        target=sweep.target,
        title=sweep.title,
        sections=[comparison_section(rows, peers=False)],
        records=line_records(rows),
        rows=rows,
        panels=sweep_panels(rows, sweep.label),
        notes=[*sweep.notes, *COMMON_NOTES, *chain.notes],
        fast=options.fast,
        commit=options.commit,
    )


def _check_values(sweep: Sweep, asked: Sequence[int], known: Sequence[int]) -> None:
    for value in asked:
        if value not in known:
            raise ConfigError(
                f"--values: the rows have no {sweep.symbol} = {value}",
                f"values: {', '.join(map(str, sorted(set(known))))}",
            )


def _run(chain: Chain, sweep: Sweep, case: Case, value: int) -> Results:
    """Both presets at one value; where that is the preset's own, its ordinary artifacts serve."""
    reports: dict[str, Any] = {}
    sources = []
    for preset in chain.options.presets:
        suffix = f"-{sweep.symbol.lower()}{value}"
        changes = {"graph": sweep.graph(value), "train": sweep.train(value)}
        at_graph = _suffix(suffix, case.graph, (preset, chain.options), changes["graph"])
        own = (preset, case.runs[0], chain.options)
        at_model = at_graph or _suffix(suffix, case.train, own, changes["train"])
        models: list[Artifact | None] = []
        for number in case.runs:
            graph = chain.graph(case, number, preset, at_graph, **changes["graph"])
            models.append(chain.model(graph, case, number, preset, at_model, **changes["train"]))
        judged = chain.judge(case, f"{at_model.removeprefix('-')}-{preset}".strip("-"), models)
        if judged is not None:
            reports[preset] = judged.json("metrics.json")
            sources.append(str(judged.ref))
    return Results(reports=reports, sources=tuple(sources))


def _suffix(
    suffix: str,
    settings: Callable[..., Any],
    own: tuple[object, ...],
    changes: Mapping[str, object],
) -> str:
    """What tells an artifact from the ordinary one: nothing, where the changes change nothing."""
    return "" if settings(*own, **changes) == settings(*own) else suffix


def _listed(best: Mapping[str, int]) -> str:
    return ", ".join(f"{value} on {data}" for data, value in best.items())
