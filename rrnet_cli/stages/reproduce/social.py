"""What trust links add to RR-Net on ratings: with them, and with them between other users.

`plus` on ratings has no intra units, so it is itself the control without social edges. With an
intra unit it reads who trusts whom; on shuffled links (users permuted) it has the same capacity,
degrees and social graph, and no knowledge.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rrnet_cli.stages.reproduce.cases import Case
from rrnet_cli.stages.reproduce.chain import Chain
from rrnet_cli.stages.reproduce.lines import Results

UNITS = ("inter", "intra", "inter", "inter")
CONTROLS = {"plus with links": "links", "plus with shuffled links": "shuffled"}
"""Method to the suffix of its artifacts."""


def with_controls(chain: Chain, case: Case, results: Results) -> Results:
    """The results of a case and those of its controls, which `plus` asks for."""
    if "plus" not in chain.options.presets:
        return results
    reports: dict[str, Any] = dict(results.reports)
    sources = list(results.sources)
    for method, suffix in CONTROLS.items():
        models = []
        for run in case.runs:
            # a permutation a split: what is told of them is spread over permutations too
            shuffled: Any = {"shuffle_intra": run} if suffix == "shuffled" else {}
            graph = chain.graph(case, run, "plus", f"-{suffix}" if shuffled else "", **shuffled)
            models.append(chain.model(graph, case, run, "plus", f"-{suffix}", units=UNITS))
        judged = chain.judge(case, f"{suffix}-plus", models)
        if judged is not None:
            reports[method] = judged.json("metrics.json")
            sources.append(str(judged.ref))
    return replace(results, reports=reports, sources=tuple(sources))
