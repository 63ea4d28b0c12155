"""From the lines that a table consists of to their figures: which are run, and how."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.evaluation.oracle import OracleBound
from rrnet_cli.evaluation.peers.base import Task
from rrnet_cli.evaluation.published import Published
from rrnet_cli.evaluation.reproduction import (
    NO_UNITS,
    NOT_RUN,
    PUBLISHED,
    ResultLine,
    best_on_select,
    figures,
)
from rrnet_cli.settings import EvalSettings
from rrnet_cli.stages.judging import Source, oracle
from rrnet_cli.stages.reproduce.cases import Case, Options
from rrnet_cli.stages.reproduce.chain import Chain
from rrnet_cli.store.artifact import Artifact

NO_UNITS_NOTE = (
    "Plus, no units: the same training on the same graph without GCN units (`rrnet train --units "
    "none`). What `plus` has beyond it is what they add, the reading of other edges' known targets "
    "among it; votes, of classes, are an input of both."
)
"""On the control that stands beside `plus` in every table."""


@dataclass(frozen=True)
class Line:
    """One line of a table before it is run.

    Attributes:
        data, backbone: As they are written in the table.
        case: What to run; None where the paper's figure stands alone.
        default: Whether it is run without being named by `--only`.
        paper_baseline, paper: By metric, the paper's figures of the baseline and of RR-Net.
    """

    data: str
    backbone: str
    case: Case | None = None
    default: bool = True
    paper_baseline: Mapping[str, Published] = field(default_factory=dict)
    paper: Mapping[str, Published] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """What `--only` may call it: `esc10-logmel`, `logmel`; `esc10` with the other defaults."""
        if self.case is None:
            return ()
        recipe, _, rest = self.case.name.partition("-")
        names = (self.case.name, recipe if self.default else "", rest)
        return tuple(dict.fromkeys(name for name in names if name))


@dataclass(frozen=True)
class Results:
    """The evaluations of one case.

    Attributes:
        reports: `metrics.json` by preset, control or peer; empty in a dry run.
        best_peer: The one that is best on select.
        bound: Of a classification.
        sources: References of the evaluations.
    """

    reports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    best_peer: str | None = None
    bound: OracleBound | None = None
    sources: tuple[str, ...] = ()

    def lines(self, line: Line, metrics: Sequence[str], commit: str) -> list[ResultLine]:
        """The finished rows, one a metric; `commit` is that of the code that ran them."""
        runs = NOT_RUN if line.case else PUBLISHED
        for report in self.reports.values():
            runs = str(report["folds_or_seeds"])
        return [
            ResultLine(
                data=line.data,
                backbone=line.backbone,
                metric=metric,
                paper_baseline=line.paper_baseline.get(metric),
                paper=line.paper.get(metric),
                ours=figures(self.reports, metric),
                best_peer=self.best_peer,
                bound=self.bound,
                runs=runs,
                commit=commit if self.reports else None,
                sources=self.sources,
            )
            for metric in metrics
        ]


def chosen(lines: Sequence[Line], options: Options) -> list[Line]:
    """The lines that are to be run.

    Raises:
        ConfigError: `--only` names none of them.
        InputError: The data of none of the lines that are wanted are there.
    """
    if options.only:
        wanted = [line for name in options.only for line in _called(name, lines)]
    else:
        wanted = [line for line in lines if line.case is not None and line.default]
    found = [line for line in wanted if line.case and (options.data / line.case.folder).is_dir()]
    lacking = [line.case.folder for line in wanted if line.case and line not in found]
    if lacking and not found:
        raise InputError(
            f"{options.data} has no folder {' or '.join(dict.fromkeys(lacking))}",
            "give --data the folder that holds the data sets, each in a folder of its own",
        )
    return found


def run(chain: Chain, case: Case, task: Task, *, all_peers: bool = False) -> Results:
    """Run a case to its evaluations.

    Args:
        chain: Makes the artifacts.
        case: What to run.
        task: `classification` or `rating`.
        all_peers: Judge every peer on test, not only the one that is best on select.
    """
    judged: dict[str, Artifact | None] = {}
    for preset in (preset for preset in chain.options.presets if preset in case.presets):
        graphs = [chain.graph(case, number, preset) for number in case.runs]
        models = [
            chain.model(graph, case, number, preset)
            for number, graph in zip(case.runs, graphs, strict=True)
        ]
        judged[preset] = chain.judge(case, preset, models)
    if "plus" in judged:
        judged[NO_UNITS] = _without_units(chain, case)
    best = None
    if chain.options.peers and case.peers:
        peers = _peers(chain, case, task)
        if any(None in models for models in peers.values()):
            chosen_peers: Sequence[str] = list(peers) if all_peers else ()
        else:
            best = _best(peers)
            chosen_peers = list(peers) if all_peers else [name for name in (best,) if name]
        for peer in chosen_peers:
            judged[peer] = chain.judge(case, f"peer-{peer}", peers[peer])
    made = {name: artifact for name, artifact in judged.items() if artifact is not None}
    return Results(
        reports={name: artifact.json("metrics.json") for name, artifact in made.items()},
        best_peer=best if best in made else None,
        bound=_bound(chain, made) if task == "classification" else None,
        sources=tuple(str(artifact.ref) for artifact in made.values()),
    )


def _without_units(chain: Chain, case: Case) -> Artifact | None:
    """The evaluation of the control that isolates what GCN units add."""
    models = [
        chain.model(chain.graph(case, number, "plus"), case, number, "plus", units=())
        for number in case.runs
    ]
    return chain.judge(case, NO_UNITS, models)


def _peers(chain: Chain, case: Case, task: Task) -> dict[str, list[Artifact | None]]:
    """The models of every peer, in the order of the runs; of those that all runs have."""
    peers: dict[str, list[Artifact | None]] = {}
    for number in case.runs:
        for peer, model in chain.peers(case, number, task).items():
            peers.setdefault(peer, []).append(model)
    return {peer: models for peer, models in peers.items() if len(models) == len(case.runs)}


def _best(peers: Mapping[str, Sequence[Artifact | None]]) -> str | None:
    bests: Any = {
        peer: [model.manifest.summary["best"] for model in models if model is not None]
        for peer, models in peers.items()
    }
    return best_on_select(bests)


def _bound(chain: Chain, judged: Mapping[str, Artifact]) -> OracleBound | None:
    """What the graphs of the first evaluation could at best give."""
    for artifact in judged.values():
        report = artifact.json("metrics.json")
        parts = [
            oracle(Source.open(chain.store, run["model"]), EvalSettings()) for run in report["runs"]
        ]
        return OracleBound.joined(parts)
    return None


def _called(name: str, lines: Sequence[Line]) -> list[Line]:
    """The lines of a name; the full name of one line means that line alone."""
    exact = [line for line in lines if line.case is not None and line.case.name == name]
    found = exact or [line for line in lines if name in line.names]
    if not found:
        known = list(dict.fromkeys(known for line in lines for known in line.names))
        near = difflib.get_close_matches(name, known, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"no row is called {name!r}", f"{guess}rows: {', '.join(known)}")
    return found
