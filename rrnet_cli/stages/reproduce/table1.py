"""Table I: sounds by folds, under the backbones that the paper names, and log-mel statistics."""

from __future__ import annotations

from rrnet_cli.evaluation.published import TABLE_1
from rrnet_cli.evaluation.reproduction import ResultLine
from rrnet_cli.evaluation.reproduction_pages import (
    Reproduction,
    comparison_section,
    line_records,
)
from rrnet_cli.stages.reproduce.cases import Options, sound
from rrnet_cli.stages.reproduce.chain import Chain
from rrnet_cli.stages.reproduce.lines import Line, Results, chosen, run

ENVNET_EPOCHS = 150
"""The recipes' 600 are days on a CPU; the steps of the schedule move with the length."""

_NETWORKS = {"envnet": "EnvNet", "envnet_v2": "EnvNet-v2", "m18": "M18"}
_ELSEWHERE = ("LESM", "DMCU", "SoundNet8+SVM", "AReN", "EnvNet-v2 §", "human")
NOTES = (
    "Mean ± sample deviation over folds; pooled over all test clips with its binomial standard "
    "error. The paper does not say what its ± is of.",
    f"EnvNet is trained for {ENVNET_EPOCHS} epochs unless `--epochs` says otherwise (published: "
    "600). EnvNet-v2 and M18 are run where `--only` names them.",
    "Rows marked published need weights or data that are not public here. EnvNet-v2 §: with strong "
    "augmentation and, the paper says, between-class samples.",
    "Oracle bound: of the clips that the baseline gets wrong, the share whose true label is a "
    "candidate, and whose fitted neighbours vote (by similarity) for it. It reads test labels.",
    "The best peer is the best on select, never on test.",
)


def lines(options: Options) -> list[Line]:
    """All lines of the table."""
    found = []
    for data, printed in TABLE_1.items():
        found.append(Line(data, "logmel", sound(data, "logmel", options)))
        for backbone, name in _NETWORKS.items():
            epochs = {"epochs": ENVNET_EPOCHS} if backbone == "envnet" else {}
            found.append(
                Line(
                    data,
                    name,
                    sound(data, backbone, options, **epochs),
                    default=backbone == "envnet",
                    paper_baseline={"top1": printed[name]},
                    paper={"top1": printed["RR-Net"]} if backbone == "envnet" else {},
                )
            )
        found += [Line(data, name, paper_baseline={"top1": printed[name]}) for name in _ELSEWHERE]
    return found


def table(chain: Chain) -> Reproduction:
    """Run the table."""
    options = chain.options
    every = lines(options)
    wanted = chosen(every, options)
    rows: list[ResultLine] = []
    sources: list[str] = []
    for line in every:
        ran = line in wanted and line.case is not None
        results = run(chain, line.case, "classification") if ran and line.case else Results()
        rows += results.lines(line, ["top1"])
        sources += results.sources
    return Reproduction(
        target="table1",
        title="Table I: sounds",
        sections=[comparison_section(rows, options.commit)],
        records=line_records(rows),
        notes=[*NOTES, *chain.notes],
        sources=sources,
        fast=options.fast,
        commit=options.commit,
    )
