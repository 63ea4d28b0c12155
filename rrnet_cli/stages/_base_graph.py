"""A graph that another is built upon: what of its neighbours still holds (`build-graph --base`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rrnet_cli.errors import ArtifactCorruptError, ConfigError, InputError
from rrnet_cli.graphs.columns import read_columns
from rrnet_cli.graphs.edges import EdgeTable, edge_key
from rrnet_cli.settings import GraphSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rrnet_cli.graphs.extension import Known
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.store import Store


def first_base(base: Artifact, source: Artifact, store: Store) -> Artifact:
    """What a graph of these very features was built upon, where it has a base; else the graph.

    A name stands for its newest graph. So the same command finds what it made, and does not build
    upon it.
    """
    while "base" in base.manifest.inputs and base.manifest.inputs["features"] == source.ref:
        base = store.resolve("graph", str(base.manifest.inputs["base"]))
    return base


def check_base(settings: GraphSettings, base: GraphSettings) -> None:
    """Refuse a base whose neighbours were searched otherwise.

    Args:
        settings: Of the graph to be built, its ``knn`` settled.
        base: Of the graph to build upon.

    Raises:
        ConfigError: Names the setting.
    """
    if base.intra != "knn":
        raise ConfigError(
            f"--base: it has no nearest neighbours (intra {base.intra})",
            "Leave --base out: there is nothing to search.",
        )
    if base.shuffle_intra is not None:
        raise ConfigError("--base: its intra-edges are shuffled", "Name the graph that is not.")
    for name in ("intra", "knn", "metric", "k_intra"):
        mine, theirs = getattr(settings, name), getattr(base, name)
        if mine != theirs:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(
                f"{flag} {mine}: --base was built with {theirs}",
                f"Leave {flag} out to take that of the base, or --base for a new search.",
            )


def known_neighbours(
    base: Artifact, settings: GraphSettings, source: Artifact, store: Store
) -> Known:
    """The neighbours that a graph knows of the left nodes of some features.

    Args:
        base: The graph.
        settings: Its own, or such as `check_base` lets pass.
        source: Features that have the base's instances with the same values in the same order, and
            others before, between or after them.
        store: Where the features of `base` are.

    Raises:
        ArtifactCorruptError: The base's edges are no edges.
        InputError: They have not.
    """
    import torch

    from rrnet_cli.graphs.extension import Known
    from rrnet_cli.graphs.keys import Keys

    before = store.resolve("features", str(base.manifest.inputs["features"]))
    left = str(source.manifest.summary["left"])
    if before.manifest.summary["left"] != left:
        raise InputError(
            f"{base.ref} is of {before.manifest.summary['left']}, {source.ref} of {left}",
            "Name a graph of such features.",
        )
    ids = _ids(before)
    place = {name: row for row, name in enumerate(_ids(source))}
    nodes = np.array([place.get(name, -1) for name in ids], np.int64)
    if (nodes < 0).any():
        missing = ids[int((nodes < 0).argmax())]
        raise InputError(
            f"{source.ref} has no instance {missing!r}, which {base.ref} has",
            "What is built upon a graph keeps all its instances; leave --base out.",
        )
    backwards = nodes[1:] < nodes[:-1]
    if backwards.any():
        raise InputError(
            f"{source.ref} has instance {ids[int(backwards.argmax()) + 1]!r} at another place "
            f"among the others than {base.ref}",
            "Of equally near neighbours the first are taken; leave --base out.",
        )
    rows = torch.from_numpy(nodes)
    edge_type = (left, "intra", left)
    file = f"edges/{edge_key(edge_type)}.parquet"
    where = f"{base.ref}: {file}"
    edges = EdgeTable.from_arrow(
        base.table(file), edge_type, error=ArtifactCorruptError, where=where
    )
    src, weight = (torch.tensor(column) for column in (edges.src, edges["weight"]))
    shape = len(ids), min(settings.k_intra, len(ids) - 1)
    others = InputError(
        f"the features of {left} in {source.ref} are not those that {base.ref} was built from",
        "Another fit of the backbone gives other features; leave --base out.",
    )
    if len(src) != shape[0] * shape[1]:
        raise others
    index, similarity = rows[src.view(shape)], weight.view(shape)
    # Lists do not say which features they are of; other features give other similarities.
    keys = Keys(source.tensors("features.safetensors")[left].float(), settings.metric)
    if not torch.equal(keys.compare(rows, index)[1], similarity):
        raise others
    order = similarity.argsort(dim=1, descending=True, stable=True)
    return Known(rows, index.gather(1, order), similarity.gather(1, order))


def _ids(features: Artifact) -> NDArray[np.object_]:
    where = "instances.parquet"
    columns = read_columns(features.table(where, ("id",)), {"id": "string"}, where=where)
    return np.asarray(columns["id"])
