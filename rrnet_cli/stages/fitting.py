"""Training on a graph artifact, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from rrnet_cli.models import engines
from rrnet_cli.models.rrnet import LEFT, RIGHT, count_parameters
from rrnet_cli.stages._problem import load_problem
from rrnet_cli.training.loop import Progress, fit
from rrnet_cli.training.processes import ALONE, Group

if TYPE_CHECKING:
    from pathlib import Path

    from rrnet_cli.progress import Reporter
    from rrnet_cli.settings import TrainSettings
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.draft import Draft

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Fitted:
    """A training that has ended.

    Attributes:
        weights: Of the best epoch, by name.
        progress: The run's history.
        parameters: How many numbers were trained.
        engine: That computed the edge layers.
    """

    weights: Mapping[str, Any]
    progress: Progress
    parameters: int
    engine: str


def fit_graph(
    graph: Artifact,
    features: Artifact,
    settings: TrainSettings,
    *,
    workspace: Path | None,
    resume: bool,
    reporter: Reporter,
    engine: str,
    group: Group | None,
) -> Fitted:
    """Read the artifacts and train; arguments and errors are those of `training.loop.fit`."""
    note_plain_engine(engine, reporter)
    problem = load_problem(graph, features, settings)
    if "intra" in settings.units and not {LEFT, RIGHT} & set(problem.relations):
        reporter.note("the graph has no intra-edges: intra units have nothing to do")
    network, progress = fit(
        problem,
        settings,
        workspace=workspace,
        resume=resume,
        reporter=reporter,
        engine=engine,
        group=group or ALONE,
    )
    return Fitted(
        network.state_dict(), progress, count_parameters(network), network.rrnet.engine.name
    )


def warm_up() -> None:
    """Import all that a training needs: the first of several takes as long as the others then."""
    engines.choose()


def note_plain_engine(engine: str, reporter: Reporter) -> None:
    """Say why DGL computes where the fused engine would be faster."""
    if reason := engines.why_plain(engine):
        reporter.note(f"edge layers are computed by dgl, which is slower: {reason}")


def write(draft: Draft, fitted: Fitted, features: Artifact) -> None:
    """Weights, curve and summary into the artifact."""
    progress = fitted.progress
    draft.write_tensors(WEIGHTS, fitted.weights)
    columns = sorted({name for row in progress.history for name in row} - {"epoch"})
    epochs = [int(row["epoch"] or 0) for row in progress.history]
    missing = float("nan")  # the untrained network's loss; a curve has a gap there
    values = {
        n: [row[n] if row[n] is not None else missing for row in progress.history] for n in columns
    }
    draft.write_table(
        "history.parquet",
        pa.table(
            {
                "epoch": pa.array(epochs, pa.int64()),
                **{name: pa.array(column, pa.float64()) for name, column in values.items()},
            }
        ),
    )
    best = {name: value for name, value in progress.best_row.items() if value is not None}
    draft.summary.update(
        {
            "task": features.manifest.summary["task"],
            "recipe": features.manifest.summary.get("recipe"),
            "backbone": features.manifest.summary.get("backbone"),
            "parameters": fitted.parameters,
            "epochs": progress.epochs,
            "best_epoch": int(best.pop("epoch")),
            "best": best,
            "start": {k: v for k, v in progress.history[0].items() if k not in ("epoch", "loss")},
            "threads": torch.get_num_threads(),
            "engine": fitted.engine,
        }
    )
