"""Stage `train`: a graph artifact to a model artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rrnet_cli.errors import ConfigError, ResourceError
from rrnet_cli.progress import Reporter, SilentReporter
from rrnet_cli.settings import TrainSettings
from rrnet_cli.store.artifact import Key

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store
    from rrnet_cli.training.processes import Group


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
    group: Group | None = None,
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
        group: Who else trains, which call `assist`; no part of the version either. None for
            nobody.

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
        # here, so that a cached model is answered without torch and DGL
        from rrnet_cli.stages import fitting

        nonlocal begun
        begun = True
        if group is not None:
            group.lead(lambda: True)
        fitted = fitting.fit_graph(
            source,
            features,
            settings,
            workspace=store.workspace(key),
            resume=resume and not force,
            reporter=reporter,
            engine=engine,
            group=group,
        )
        fitting.write(draft, fitted, features)
        draft.summary["processes"] = 1 if group is None else group.size

    outcome = store.materialise(key, build, force=force)
    if group is not None and not begun:
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
    from rrnet_cli.stages import fitting  # while the leader looks whether there is anything to do

    source, features = _read(settings, store, graph, device, engine, group)
    if group.lead(lambda: True):
        fitting.fit_graph(
            source,
            features,
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
    group: Group | None,
) -> tuple[Artifact, Artifact]:
    """Graph and features, once all that was asked for is possible."""
    check_group(settings, 1 if group is None else group.size)
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
        name=name or f"{graph.ref.name}-{settings.label}",
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
    if engine == "auto":  # there always is one; a cached model is answered without torch
        return
    from rrnet_cli.models import engines

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
