"""A table of classifications: a row a data set and baseline, and how the networks were trained."""

from __future__ import annotations

from collections.abc import Sequence

from rrnet_cli.evaluation.reproduction import ResultLine
from rrnet_cli.evaluation.reproduction_pages import (
    Reproduction,
    comparison_section,
    line_records,
)
from rrnet_cli.stages.reproduce.chain import Chain
from rrnet_cli.stages.reproduce.lines import NO_UNITS_NOTE, Line, Results, chosen, run
from rrnet_cli.stages.reproduce.training import networks, training_curves


def comparison(
    chain: Chain, target: str, title: str, every: Sequence[Line], notes: Sequence[str]
) -> Reproduction:
    """Run a table of classifications, one row a data set and baseline."""
    options = chain.options
    wanted = chosen(every, options)
    rows: list[ResultLine] = []
    for line in every:
        results = Results()
        if line.case is not None and line in wanted:
            results = run(chain, line.case, "classification")
        rows += results.lines(line, ["top1"], options.commit)
    kept = options.kept()
    rows = kept.filled(rows)
    run_now = [line for line in every if line in wanted]
    return Reproduction(
        target=target,
        title=title,
        sections=[comparison_section(rows)],
        records=line_records(rows),
        rows=rows,
        training=kept.curves(
            training_curves(chain, run_now, every), networks(every), networks(run_now)
        ),
        notes=[*notes, NO_UNITS_NOTE, *chain.notes],
        fast=options.fast,
        commit=options.commit,
    )
