"""A graph that another is built upon: what of its neighbours still holds (`build-graph --base`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.graphs.columns import read_columns
from rrnet_cli.graphs.edges import EdgeTable, edge_key
from rrnet_cli.settings import GraphSettings

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from rrnet_cli.graphs.extension import Known
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.store import Store

_COMPARED = 4096
"""Rows of features that are compared at once."""


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
            f"--base: its intra-edges are {base.intra}, no nearest neighbours",
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


def known_neighbours(base: Artifact, source: Artifact, store: Store) -> Known:
    """The neighbours that a graph knows of the left nodes of some features.

    Args:
        base: The graph, of ``intra=knn``.
        source: Features that have the base's instances with the same values in the same order, and
            others before, between or after them.
        store: Where the features of `base` are.

    Raises:
        InputError: They have not; names the first instance.
    """
    import torch

    from rrnet_cli.graphs.extension import Known

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
    old, new = (each.tensors("features.safetensors")[left] for each in (before, source))
    _check_equal(old, new, rows, ids, f"features of {left} in {source.ref} and {base.ref}")
    edge_type = (left, "intra", left)
    file = f"edges/{edge_key(edge_type)}.parquet"
    edges = EdgeTable.from_arrow(base.table(file), edge_type, where=f"{base.ref}: {file}")
    src, weight = (torch.tensor(column) for column in (edges.src, edges["weight"]))
    shape = len(ids), len(src) // len(ids)  # whatever k was clamped to
    index, similarity = src.view(shape), weight.view(shape)
    order = similarity.argsort(dim=1, descending=True, stable=True)
    return Known(rows, rows[index.gather(1, order)], similarity.gather(1, order))


def _ids(features: Artifact) -> NDArray[np.object_]:
    where = "instances.parquet"
    columns = read_columns(features.table(where, ("id",)), {"id": "string"}, where=where)
    return np.asarray(columns["id"])


def _check_equal(
    old: torch.Tensor,
    new: torch.Tensor,
    rows: torch.Tensor,
    ids: NDArray[np.object_],
    what: str,
) -> None:
    """Refuse features (num_rows, dim) that are not those of `rows` in `new`."""
    if old.shape[1:] != new.shape[1:]:
        raise InputError(f"{what} have shapes {tuple(old.shape)} and {tuple(new.shape)}")
    for start in range(0, len(rows), _COMPARED):
        part = slice(start, start + _COMPARED)
        unequal = (old[part] != new[rows[part]]).any(dim=1)
        if unequal.any():
            name = ids[start + int(unequal.nonzero()[0, 0])]
            raise InputError(
                f"{what} are not the same, first at instance {name!r}",
                "Another fit of the backbone gives other features; leave --base out.",
            )
