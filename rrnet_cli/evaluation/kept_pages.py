"""Pages in a form that is read again, so that a later run adds its rows to those of an earlier one.

Each row keeps the commit that it was run at and the evaluations that it is made of. The paper's
figures are not kept: they have one place, `published`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rrnet_cli.errors import ConfigError, InputError, ResourceError
from rrnet_cli.evaluation.oracle import OracleBound
from rrnet_cli.evaluation.reproduction import NO_UNITS, NOT_RUN, Figure, ResultLine
from rrnet_cli.evaluation.results import PAGE
from rrnet_cli.evaluation.training_curves import TrainingCurves

Budget = Literal["full", "fast"]

SAME = 1e-6
"""How far apart the errors of one baseline may be: rounding differs from machine to machine."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)

    data: str
    backbone: str
    metric: Literal["top1", "mae", "rmse"]
    setting: tuple[str, int] | None
    ours: Annotated[dict[str, Figure], Field(min_length=1)]
    best_peer: str | None
    bound: OracleBound | None
    runs: str
    commit: str
    sources: tuple[str, ...]


class _Curves(BaseModel):
    model_config = ConfigDict(extra="forbid")

    network: str
    data: str
    backbone: str
    runs: list[str]
    top1: list[list[float]]

    @model_validator(mode="after")
    def _is_a_table(self) -> Self:
        if len({len(run) for run in self.top1}) != 1 or len(self.top1) != len(self.runs):
            raise ValueError("top1 must have one row of the same length for each run")
        return self


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: str
    target: str
    budget: Budget
    rows: list[_Row]
    training: list[_Curves]


@dataclass(frozen=True)
class KeptPage:
    """What an earlier run wrote of a target.

    Attributes:
        rows: Those that were run, without the paper's figures.
        training: The curves of their networks.
    """

    rows: Sequence[ResultLine] = ()
    training: Sequence[TrainingCurves] = ()

    def filled(self, rows: Sequence[ResultLine]) -> list[ResultLine]:
        """The rows of a new page; one that was not run is as it was kept, if it was.

        What was run of a row joins what is kept of it where both are of one baseline.
        """
        kept = {_place(row): row for row in self.rows}
        return [_joined(kept[_place(row)], row) if _place(row) in kept else row for row in rows]

    def lost(self, rows: Sequence[ResultLine]) -> list[str]:
        """What a new page has no figures for: kept rows by data and backbone, or some of a row.

        A row whose baseline is another now, as that of a network trained again, has lost the
        columns that it was run again without.
        """
        present = {_place(row): _shown(row) for row in rows if row.ours}
        found = []
        for row in self.rows:
            name = f"{row.data} {row.backbone}"
            if _place(row) not in present:
                found.append(name)
            elif gone := [what for what in _shown(row) if what not in present[_place(row)]]:
                found.append(f"{name} ({', '.join(gone)})")
        return list(dict.fromkeys(found))

    def curves(
        self, drawn: Sequence[TrainingCurves], networks: Sequence[str], run: Sequence[str]
    ) -> list[TrainingCurves]:
        """The curves of a new page, and the kept ones of networks that were not run again.

        Args:
            drawn: Of the new page.
            networks: Names of all networks of the target, in the order of its rows.
            run: Those that were run now.
        """
        kept = [curve for curve in self.training if curve.network not in run]
        order = list(networks)
        return sorted(
            (curve for curve in [*drawn, *kept] if curve.network in order),
            key=lambda curve: order.index(curve.network),
        )


def page_json(
    target: str, budget: Budget, rows: Sequence[ResultLine], training: Sequence[TrainingCurves]
) -> str:
    """The file's text.

    Args:
        target: `table2`.
        budget: Under which all rows were run.
        rows: Those that were not run are left out.
        training: Curves; four decimals of a percent are kept.
    """
    page = _Page(
        kind=PAGE,
        target=target,
        budget=budget,
        rows=[_Row.model_validate(row) for row in rows if row.ours],
        training=[
            _Curves(
                network=curve.network,
                data=curve.data,
                backbone=curve.backbone,
                runs=list(curve.runs),
                top1=np.round(curve.top1, 4).tolist(),
            )
            for curve in training
        ],
    )
    return json.dumps(page.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def read_page(path: Path, target: str, budget: Budget) -> KeptPage:
    """What `page_json` wrote; nothing where there is no file.

    Raises:
        ResourceError: It cannot be read.
        InputError: It is no page.
        ConfigError: It is of another target or budget.
    """
    try:
        page = _Page.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return KeptPage()
    except OSError as error:
        raise ResourceError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"{path} is no page that `rrnet reproduce` wrote: {where}: {first['msg']}",
            "move it away to begin anew",
        ) from error
    if (page.kind, page.target, page.budget) != (PAGE, target, budget):
        raise ConfigError(
            f"{path} holds {page.target} of budget {page.budget}, not {target} of {budget}",
            "give another --out: rows of both would mix, or the full ones be lost",
        )
    return KeptPage(
        rows=[ResultLine(**dict(row)) for row in page.rows],
        training=[
            TrainingCurves(
                curve.network, curve.data, curve.backbone, curve.runs, np.array(curve.top1)
            )
            for curve in page.training
        ],
    )


def _place(row: ResultLine) -> tuple[object, ...]:
    return row.data, row.backbone, row.setting, row.metric


def _shown(row: ResultLine) -> list[str]:
    """The columns of ours that a row fills."""
    presets = [f"{preset} preset" for preset in ("paper", "plus") if preset in row.ours]
    control = ["plus without units"] if NO_UNITS in row.ours else []
    return [*presets, *control, *(["best peer"] if row.best_peer else [])]


def _joined(old: ResultLine, new: ResultLine) -> ResultLine:
    """The new row, and what only the old one has where both are of one baseline.

    That is told by its error on the same number of pairs. Accuracies are too coarse to tell.
    """
    if new.runs == NOT_RUN:
        return replace(old, paper_baseline=new.paper_baseline, paper=new.paper)
    before, now = old.ours["baseline"], new.ours["baseline"]
    if (
        new.metric == "top1"
        or (before.n, before.runs) != (now.n, now.runs)
        or abs(before.value - now.value) > SAME
        or set(old.ours) <= set(new.ours)
    ):
        return new
    methods = [name for name in new.ours if name != "baseline"]
    return replace(
        new,
        ours={**old.ours, **new.ours},
        best_peer=new.best_peer or old.best_peer,
        commit=_written([*_commits(old, methods), (new.commit or "", methods)]),
        sources=(
            *(source for source in old.sources if not _is_of(source, methods)),
            *new.sources,
        ),
    )


def _commits(old: ResultLine, methods: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The commits of a row, each with what it made but for some methods that are made anew.

    One that names no methods made all that no other one names.
    """
    found = re.findall(r"([^,(]+?)(?: \(([^)]*)\))?(?:, |$)", old.commit or "")
    told = {commit: named.split(", ") for commit, named in found if named}
    others = [name for name in old.ours if name not in sum(told.values(), ["baseline"])]
    return [
        (commit, [name for name in told.get(commit, others) if name not in methods])
        for commit, _ in found
    ]


def _written(commits: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Commits as a row has them: first that of most methods, then others with theirs."""
    most, *others = sorted(commits, key=lambda part: -len(part[1]))
    named = [f"{commit} ({', '.join(methods)})" for commit, methods in others if methods]
    return ", ".join([most[0], *named])


def _is_of(source: str, methods: Sequence[str]) -> bool:
    """Whether an evaluation, or a model, is of one of the methods: its name ends so."""
    return source.partition("@")[0].endswith(tuple(f"-{method}" for method in methods))
