"""Second features of the same instances: who is near by what the prior does not use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.graphs.columns import read_columns
from rrnet_cli.settings import GraphSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.store import Store


def check_second(
    second: Artifact, source: Artifact, settings: GraphSettings, *, base: bool
) -> None:
    """Refuse second features that say nothing of the first one's instances, or say too much.

    A network is fitted on labels: one that was fitted on other roles has seen what is to be
    predicted here, and its neighbours would tell.

    Args:
        second: Features by which left nodes are near.
        source: Features that the graph is of.
        settings: Of the graph.
        base: Whether the graph extends another.

    Raises:
        ConfigError: The graph searches no neighbours, or extends known ones.
        InputError: The instances, their order, labels or roles differ; names the first.
    """
    if settings.intra != "knn":
        raise ConfigError(
            "--neighbours: the graph has no nearest neighbours to search",
            "Use --intra knn, or leave --neighbours out.",
        )
    if base:
        raise ConfigError("--neighbours and --base exclude each other", "Leave one of them out.")
    left, other_left = (each.manifest.summary["left"] for each in (source, second))
    if left != other_left:  # sounds, pictures or users: it tells the task too
        raise InputError(
            f"--neighbours {second.ref} is of {other_left}, {source.ref} of {left}",
            "Name features of the same instances.",
        )
    mine, other = _instances(source), _instances(second)
    where = f"--neighbours {second.ref}: instances.parquet"
    advice = f"Extract both of the same data with the same split as {source.ref}."
    ours, theirs = len(mine["id"]), len(other["id"])
    if ours != theirs:
        raise InputError(f"{where}, {theirs} rows for {ours}: another instance", advice)
    for column, fault in (
        ("id", "another instance"),
        ("label", "another label"),
        ("role", "another role: its baseline may have seen what is to be predicted here"),
    ):
        unlike = mine[column] != other[column]
        if unlike.any():
            raise InputError(f"{where}, row {int(unlike.argmax())}: {fault}", advice)


def left_features(source: Artifact, graph: Artifact, store: Store) -> NDArray[np.float32]:
    """What is known of the left nodes of a graph: its features and, of two, the second ones behind.

    Returns:
        (num_left, dim) float32.
    """
    left = str(source.manifest.summary["left"])
    found = [source]
    if "neighbours" in graph.manifest.inputs:
        found.append(store.resolve("features", str(graph.manifest.inputs["neighbours"])))
    return np.concatenate([each.arrays("features.safetensors")[left] for each in found], axis=1)


def _instances(features: Artifact) -> dict[str, NDArray[np.generic]]:
    where = "instances.parquet"
    return read_columns(
        features.table(where), {"id": "string", "label": "int64", "role": "role"}, where=where
    )
