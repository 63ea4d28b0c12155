"""Table III: how many users, items, ratings and links the data of the recommendation have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rrnet_cli.evaluation.published import TABLE_3
from rrnet_cli.evaluation.reproduction_pages import Reproduction, statistics_section
from rrnet_cli.stages.reproduce.chain import Chain
from rrnet_cli.stages.reproduce.lines import chosen
from rrnet_cli.stages.reproduce.table4 import CIAO, CORE, lines

NOTES = (
    "Ours are counted after reading: ratings of one pair given twice are merged, rows rated 0 and "
    "links of users without a rating are dropped.",
    "The paper's Ciao is no subset of the public data's rows: 117,369 ratings of these data need "
    "at least 5,777 items, and it gives 5,042. The core (users with 3, items with 9 ratings at "
    "least) is the nearest filter in users, items and ratings.",
)


def table(chain: Chain) -> Reproduction:
    """Read the data and count."""
    options = chain.options
    # data are counted once, whatever baselines there are for them
    every = [line for line in lines(options) if line.backbone == "rating-bias"]
    wanted = chosen(every, options)
    counts: dict[str, Mapping[str, int] | None] = {}
    sources = []
    for line in every:
        counts[line.data] = None
        if line in wanted and line.case is not None:
            features = chain.features(line.case, line.case.runs[0])
            if features is not None:
                counts[line.data] = _counts(features.manifest.summary)
                sources.append(str(features.ref))
    printed = {"FilmTrust": TABLE_3["FilmTrust"], CIAO: TABLE_3["Ciao"], CORE: TABLE_3["Ciao"]}
    section, records = statistics_section(printed, counts, options.commit)
    return Reproduction(
        target="table3",
        title="Table III: data of the recommendation",
        sections=[section],
        records=records,
        notes=[*NOTES, *chain.notes],
        sources=sources,
        fast=options.fast,
        commit=options.commit,
    )


def _counts(summary: Mapping[str, Any]) -> dict[str, int]:
    return {
        "users": summary["users"],
        "items": summary["items"],
        "ratings": sum(summary["ratings"].values()),
        "links": summary["links"],
    }
