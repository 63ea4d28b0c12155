"""The baseline of some features, fitted anew on a part of what it was fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from rrnet_cli.datasets.base import FIT, HOLD, ROLE_NAMES
from rrnet_cli.datasets.parts import fit_parts
from rrnet_cli.features.cross_fit import out_of_fold
from rrnet_cli.features.linear import fit_linear
from rrnet_cli.features.rating_baseline import refit as fit_again
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.graphs.candidates import log_softmax
from rrnet_cli.progress import Reporter
from rrnet_cli.training.problem import Refit

if TYPE_CHECKING:
    import dgl

    from rrnet_cli.store.artifact import Artifact

LINEAR = ("logmel", "pixels")
"""Backbones whose features are made without labels, and whose fit takes a second."""

PARTS = 5
"""Baselines that give peers the prior of FIT, each of the part that it did not see."""

_FACTS = TypeAdapter(dict[str, float])


def refit_of(
    graph: dgl.DGLGraph, features: Artifact, scale: tuple[float, float] | None
) -> Refit | None:
    """What fits the baseline of `features` on the known inter-edges of a draw.

    Args:
        graph: Its inter-edges are what is refitted on and predicted.
        features: Say which baseline.
        scale: Of ratings; None for classes.

    Returns:
        Known (num_inter_edges,) to the prior (num_inter_edges,): raw ratings, or log-probabilities
        over the labels. None for networks: they would have to be trained anew, features and all.
    """
    if scale is not None:
        return _of_ratings(graph, features, scale)
    if features.manifest.summary["backbone"] in LINEAR:
        return _of_classes(graph, features)
    return None


def unseen_prior(features: Artifact, reporter: Reporter) -> NDArray[np.float32]:
    """Logits of a classification; of a linear baseline, those of FIT as of an instance not seen.

    As given where they are so already (cross-fitting), where the baseline is a network, or where
    there is too little to deal: fewer than `PARTS` instances, or than two classes of two. They are
    dealt one by one, clips of one recording too: features do not keep which those are.

    Args:
        features: Of a classification.
        reporter: Told which part is next.

    Returns:
        (num_instances, num_classes) float32.
    """
    logits = features.arrays("prior.safetensors")["logits"]
    summary = features.manifest.summary
    if summary["backbone"] not in LINEAR or summary.get("prior") == "out-of-fold":
        return logits
    table = features.table("instances.parquet", ("label", "role"))
    label, role = (table[name].to_numpy() for name in ("label", "role"))
    roles = np.array([ROLE_NAMES.index(name) for name in role], np.int8)
    labels = np.where(roles == FIT, label, -1).astype(np.int64)
    if (roles == FIT).sum() < PARTS or (np.bincount(labels[roles == FIT]) >= 2).sum() < 2:
        return logits
    matrix = features.arrays("features.safetensors")[str(summary["left"])]

    def refit(part: int, shown: NDArray[np.int8], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return fit_linear(matrix, labels, shown, logits.shape[1]).logits[rows]

    return out_of_fold(logits, roles, fit_parts(roles, PARTS, 0, labels=labels), refit, reporter)


def _of_classes(graph: dgl.DGLGraph, features: Artifact) -> Refit:
    """Fits the logistic regression on the shown instances; those left out are as if held."""
    left, right = (ids.long().numpy() for ids in graph.edges(etype="inter", order="eid"))
    matrix = features.arrays("features.safetensors")[str(features.manifest.summary["left"])]
    table = features.table("instances.parquet", ("label", "role"))
    label, role = (table[name].to_numpy() for name in ("label", "role"))
    labels = np.where(role == "fit", label, -1).astype(np.int64)
    classes = int(features.table("labels.parquet").num_rows)

    def refit(known: NDArray[np.bool_]) -> NDArray[np.float64]:
        roles = np.full(len(matrix), HOLD, np.int8)
        roles[left[known]] = FIT
        logits = fit_linear(matrix, labels, roles, classes).logits
        return np.asarray(log_softmax(logits)[left, right], np.float64)

    return refit


def _of_ratings(graph: dgl.DGLGraph, features: Artifact, scale: tuple[float, float]) -> Refit:
    """Fits biases or factors on the shown ratings; predicts raw ratings."""
    user, item = (ids.long().numpy() for ids in graph.edges(etype="inter", order="eid"))
    rating = graph.edges["inter"].data["target"].numpy()
    facts = _FACTS.validate_python(features.manifest.summary["baseline"])
    num_users, num_items = graph.num_nodes("user"), graph.num_nodes("item")
    nothing, unrated = np.zeros(0, np.int64), np.zeros(0, np.float32)

    def refit(known: NDArray[np.bool_]) -> NDArray[np.float64]:
        shown = RatingData(
            num_users=num_users,
            num_items=num_items,
            scale=scale,
            user=user[known],
            item=item[known],
            rating=rating[known],
            select_user=nothing,
            select_item=nothing,
            select_rating=unrated,
            links=np.zeros((2, 0), np.int64),
        )
        return fit_again(facts, shown).predict(user, item)

    return refit
