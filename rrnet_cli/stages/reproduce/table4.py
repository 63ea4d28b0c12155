"""Table IV: ratings, every method in a row of its own."""

from __future__ import annotations

from rrnet_cli.evaluation.peers.registry import PEERS
from rrnet_cli.evaluation.published import TABLE_4, Published
from rrnet_cli.evaluation.reproduction import NO_UNITS, NOT_RUN, ResultLine
from rrnet_cli.evaluation.reproduction_pages import (
    Reproduction,
    comparison_section,
    line_records,
    methods_section,
)
from rrnet_cli.stages.reproduce.cases import Options, ciao, filmtrust, with_factors
from rrnet_cli.stages.reproduce.chain import Chain
from rrnet_cli.stages.reproduce.lines import NO_UNITS_NOTE, Line, Results, chosen, run
from rrnet_cli.stages.reproduce.social import CONTROLS, with_controls

METRICS = ("mae", "rmse")
FILMTRUST, CIAO, CORE = "FilmTrust", "Ciao, all", "Ciao, core 3/9"
NAMES = {
    "baseline": "user and item bias (the baseline)",
    "paper": "RR-Net, paper preset",
    "plus": "RR-Net, plus on the biases",
    "factors": "factors of SVD++ (a stronger baseline)",
    "plus on factors": "RR-Net, plus on the factors",
    NO_UNITS: "RR-Net, plus on the biases without units",
    "plus on factors, no units": "RR-Net, plus on the factors without units",
    "plus with links": "RR-Net, plus on the factors with trust links",
    "plus with shuffled links": "RR-Net, plus on the factors with shuffled trust links",
    "mf": "matrix factorisation",
    "svd": "SVD",
    "soreg": "SoReg",
    "svdpp": "SVD++",
    "socialmf": "SocialMF",
    "trustmf": "TrustMF",
    "trustsvd": "TrustSVD",
    "lightgcn": "LightGCN",
}
"""How methods are written; the last six are the paper's own peers."""

ON_FACTORS = {
    "baseline": "factors",
    "plus": "plus on factors",
    NO_UNITS: "plus on factors, no units",
}
"""What the rows of the stronger baseline are called among all methods."""

NOTES = (
    "Mean ± sample deviation over random 80/10/10 splits; intervals resample distinct test pairs.",
    "Under `paper` FilmTrust's inter-edges are all pairs, otherwise the rated ones.",
    "The paper's Ciao is no subset of the public data's rows (Table III), so its figures stand "
    "beside both versions and are like-for-like with neither.",
    "`ours − baseline` of a row is to the baseline of its own prior: the biases, or the factors.",
    "The best peer is the best on select, never on test; peers are tuned on select. They read no "
    "prior, so those of a data set's splits stand for the factors too.",
    "Under `paper` means are of all inter-edges, under `plus` of pairs of known rating alone.",
    "`plus` reads no trust links: its stack has no intra unit. The two controls with links "
    "have one; shuffled links are those between permuted users. They are run on FilmTrust.",
)


def lines(options: Options) -> list[Line]:
    """FilmTrust, and Ciao in full and in its core."""
    cases = {
        FILMTRUST: filmtrust(options),
        CIAO: ciao(options),
        CORE: ciao(options, core=True),
    }
    return [
        Line(data, backbone, chosen_case, paper=_printed(data, "plus"))
        for data, case in cases.items()
        for backbone, chosen_case in (
            ("rating-bias", case),
            ("rating-factors", with_factors(case)),
        )
    ]


def table(chain: Chain) -> Reproduction:
    """Run the table."""
    options = chain.options
    every = lines(options)
    wanted = chosen(every, options)
    summary: list[ResultLine] = []
    orders: list[tuple[str, ...]] = []
    for line in every:
        results = Results()
        if line in wanted and line.case is not None:
            results = run(chain, line.case, "rating", all_peers=True)
            if _has_controls(line):
                results = with_controls(chain, line.case, results)
        summary += results.lines(line, METRICS, options.commit)
        orders += [_order(line)] * len(METRICS)
    summary = options.kept().filled(summary)
    methods = [
        _one(row, name) for row, order in zip(summary, orders, strict=True) for name in order
    ]
    return Reproduction(
        target="table4",
        title="Table IV: ratings",
        sections=[
            comparison_section(summary),
            methods_section(methods, NAMES, "Every method"),
        ],
        records=line_records(methods),
        rows=summary,
        notes=[*NOTES, NO_UNITS_NOTE, *chain.notes],
        fast=options.fast,
        commit=options.commit,
    )


def _one(row: ResultLine, method: str) -> ResultLine:
    """The row of one method out of a row of all."""
    found = row.ours.get(method)
    name = ON_FACTORS.get(method, method) if row.backbone == "rating-factors" else method
    return ResultLine(
        data=row.data,
        backbone=row.backbone,
        method=name,
        metric=row.metric,
        paper=_printed(row.data, method).get(row.metric),
        ours={} if found is None else {name: found},
        runs=NOT_RUN if found is None else row.runs,
        commit=None if found is None else row.commit,
    )


def _has_controls(line: Line) -> bool:
    return line.data == FILMTRUST and line.backbone == "rating-factors"


def _order(line: Line) -> tuple[str, ...]:
    if line.backbone == "rating-factors":
        return (*ON_FACTORS, *(CONTROLS if _has_controls(line) else ()))
    # the peer `bias` is the baseline once more
    peers = (name for name in PEERS["rating"] if name != "bias")
    return ("baseline", *peers, "paper", "plus", NO_UNITS)


def _printed(data: str, method: str) -> dict[str, Published]:
    """The paper's figures of a method by metric; its RR-Net stands beside both presets."""
    ours = method in ("paper", "plus", *CONTROLS)
    name = "RR-Net" if ours else NAMES.get(method, method)
    pair = TABLE_4[data.partition(",")[0]].get(name)
    return {} if pair is None else dict(zip(METRICS, pair, strict=True))
