"""Stage `train`: a graph artifact to a model artifact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from rrnet_cli.errors import ConfigError, ResourceError
from rrnet_cli.models import engines
from rrnet_cli.models.rrnet import LEFT, RIGHT, count_parameters
from rrnet_cli.progress import Reporter, SilentReporter
from rrnet_cli.settings import TrainSettings
from rrnet_cli.stages._problem import load_problem
from rrnet_cli.store.artifact import Key
from rrnet_cli.training.loop import Progress, fit
from rrnet_cli.training.processes import ALONE, Group

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store

WEIGHTS = "model.safetensors"


def train(
    settings: TrainSettings,
    *,
    store: Store,
    graph: str | None,
    name: str | None,
    reporter: Reporter,
    force: bool = False,
    resume: bool = True,
    device: str = "auto",
    engine: str = "auto",
    group: Group = ALONE,
) -> Outcome:
    """Train RR-Net on a graph artifact.

    Args:
        settings: Of the stage; the model's version depends on them and on the graph.
        store: Where artifacts are.
        graph: Reference of the graph; None for the newest.
        name: Of the model artifact; `<graph name>-<preset>` where None, with `-no-units` behind
            it for the control without units, so that it never stands for the real one.
        reporter: Progress and notes.
        force: Train again even where the same version is there.
        resume: Go on from an interrupted run's checkpoint.
        device: `auto` or `cpu`.
        engine: How edge layers are computed, one of `engines.NAMES`. Like the device, no part of
            the version: it changes no result beyond rounding.
        group: Who else trains, which call `assist`; no part of the version either.

    Returns:
        The model artifact: `model.safetensors`, `history.parquet`.

    Raises:
        ConfigError: Settings that do not fit the graph.
        DivergedError: A loss that became NaN or infinite.
        ResourceError: A device or an engine that is not to be had, or another process ended.
    """
    source, features = _read(settings, store, graph, device, engine, group)
    key = model_key(settings, source, features, name)
    begun = False

    def build(draft: Draft) -> None:
        nonlocal begun
        if reason := engines.why_plain(engine):
            reporter.note(f"edge layers are computed by dgl, which is slower: {reason}")
        begun = group.lead(lambda: True)
        problem = load_problem(source, features, settings)
        if "intra" in settings.units and not {LEFT, RIGHT} & set(problem.relations):
            reporter.note("the graph has no intra-edges: intra units have nothing to do")
        network, progress = fit(
            problem,
            settings,
            workspace=store.workspace(key),
            resume=resume and not force,
            reporter=reporter,
            engine=engine,
            group=group,
        )
        write(
            draft,
            network.state_dict(),
            progress,
            features,
            count_parameters(network),
            network.rrnet.engine.name,
        )
        draft.summary["processes"] = group.size

    outcome = store.materialise(key, build, force=force)
    if not begun:
        group.lead(lambda: False)
    return outcome


def assist(
    settings: TrainSettings,
    *,
    store: Store,
    graph: str | None,
    group: Group,
    device: str = "auto",
    engine: str = "auto",
) -> None:
    """Take part in the training of the group's leader, which calls `train`; nothing is written.

    Args and errors are those of `train`.
    """
    source, features = _read(settings, store, graph, device, engine, group)
    if group.lead(lambda: True):  # the leader says whether there is anything to do
        fit(
            load_problem(source, features, settings),
            settings,
            workspace=None,
            resume=False,
            reporter=SilentReporter(),
            engine=engine,
            group=group,
        )


def _read(
    settings: TrainSettings,
    store: Store,
    graph: str | None,
    device: str,
    engine: str,
    group: Group,
) -> tuple[Artifact, Artifact]:
    """Graph and features, once all that was asked for is possible."""
    check_group(settings, group.size)
    check_device(device)
    check_engine(engine)
    source = store.resolve("graph", graph)
    features = store.resolve("features", str(source.manifest.inputs["features"]))
    check_settings(settings, features)
    return source, features


def check_group(settings: TrainSettings, processes: int) -> None:
    """Refuse to share what is no batch.

    Raises:
        ConfigError: Several processes, and no batch size.
    """
    if processes > 1 and settings.batch_size is None:
        raise ConfigError(
            "Several processes share the batches of sampled training, and there is no batch size.",
            "Give --batch-size and --fanout, such as --batch-size 256 --fanout 10,10.",
        )


def model_key(
    settings: TrainSettings, graph: Artifact, features: Artifact, name: str | None = None
) -> Key:
    """The key of the model that training gives; its name is `<graph name>-<preset>` by default."""
    return Key(
        kind="model",
        name=name or f"{graph.ref.name}-{settings.preset}{'' if settings.units else '-no-units'}",
        params=settings.recorded(),
        inputs={"graph": graph.ref, "features": features.ref},
        data=None,
    )


def check_device(device: str) -> None:
    """Refuse what DGL's wheel cannot do.

    Raises:
        ResourceError: `device` is neither `auto` nor `cpu`.
    """
    if device not in ("auto", "cpu"):
        raise ResourceError(
            f"The device {device!r} is not available: DGL's wheel on PyPI has no CUDA.",
            "Leave --device out, or pass --device cpu.",
        )


def check_engine(engine: str) -> None:
    """Refuse what is no engine, or does not work here.

    Raises:
        ConfigError: `engine` is none of `engines.NAMES`.
        ResourceError: ``fused`` without a numba that works.
    """
    try:
        engines.choose(engine)
    except ValueError as error:
        raise ConfigError(
            f"The engine {error}.", "Leave --engine out, or pass one of these."
        ) from None
    except ImportError as error:
        raise ResourceError(
            f"The engine {engine} is not available: {error}.",
            "Install numba in the version of constraints.txt, or pass --engine dgl.",
        ) from error


def check_settings(settings: TrainSettings, features: Artifact) -> None:
    """Refuse settings that the task gives no meaning to.

    Raises:
        ConfigError: Names the setting.
    """
    rating = features.manifest.summary["task"] == "rating"
    if rating and settings.objective == "softmax":
        raise ConfigError(
            "The objective softmax chooses among an instance's candidates; ratings have none.",
            "Use --objective bce.",
        )
    if settings.attributes == ("none" if rating else "degree"):
        task, other = ("ratings", "degree") if rating else ("classes", "none")
        raise ConfigError(
            f"The attributes {settings.attributes} are not for {task}.",
            f"Use --set attributes={other}, or learned.",
        )


def write(
    draft: Draft,
    weights: Mapping[str, Any],
    progress: Progress,
    features: Artifact,
    parameters: int,
    engine: str,
) -> None:
    """Weights, curve and summary into the artifact."""
    draft.write_tensors(WEIGHTS, weights)
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
            "parameters": parameters,
            "epochs": progress.epochs,
            "best_epoch": int(best.pop("epoch")),
            "best": best,
            "start": {k: v for k, v in progress.history[0].items() if k not in ("epoch", "loss")},
            "threads": torch.get_num_threads(),
            "engine": engine,
        }
    )
