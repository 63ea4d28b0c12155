"""Stage `peers`: other methods on the same graph, each tuned on select and kept as a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rrnet_cli.datasets.base import FIT, HOLD, SELECT
from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.registry import peers as registered
from rrnet_cli.evaluation.peers.tune import tune
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.graphs.candidates import log_softmax
from rrnet_cli.graphs.edges import EdgeTable, EdgeType, edge_key
from rrnet_cli.progress import Reporter
from rrnet_cli.stages._baseline import VIEWS
from rrnet_cli.stages._refit import unseen_prior
from rrnet_cli.stages._second import left_features
from rrnet_cli.store.artifact import Key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store

SCORES = "scores.parquet"
"""One row an inter-edge, in the order of the graph's table: what `rrnet eval` judges."""


def run_peers(
    *,
    store: Store,
    graph: str | None,
    only: Sequence[str],
    seed: int,
    reporter: Reporter,
    force: bool = False,
) -> list[Outcome]:
    """Make one model artifact a peer.

    Args:
        store: Where artifacts are.
        graph: Reference of the graph; None for the newest.
        only: Names of peers; empty for all that the task has, less those whose library is not
            installed and, on a graph without links, the social ones.
        seed: Of the peers' random numbers.
        reporter: Progress and notes.
        force: Compute again even where the same version is there.

    Returns:
        The artifacts `<graph>-<peer>` in the order of the registry: `scores.parquet` (the peer's
        answer for every inter-edge) and `trials.parquet` (one row a tried setting).

    Raises:
        ConfigError: An unknown peer, a social one on a graph without links, nothing to tune on.
        ResourceError: A peer that was named needs a library that is not installed.
    """
    source = store.resolve("graph", graph)
    features = store.resolve("features", str(source.manifest.inputs["features"]))
    rating = features.manifest.summary["task"] == "rating"
    chosen = registered("rating" if rating else "classification", only)
    if rating and _links(source).size == 0:
        chosen = _without_social(chosen, only, reporter)
    if not only and VIEWS not in features.manifest.files:
        chosen = [peer for peer in chosen if not peer.several_views]
    if not only:
        chosen = _installed(chosen, reporter)

    @cache
    def data() -> ClassData | RatingData:  # read once, and not at all where all is cached
        if rating:
            return rating_data(source, features)
        return class_data(source, features, left_features(features, source, store))

    @cache
    def with_unseen_prior() -> ClassData | RatingData:
        seen = data()
        if isinstance(seen, RatingData):
            return seen
        return replace(seen, log_prior=log_softmax(unseen_prior(features, reporter)))

    outcomes = []
    for peer in chosen:
        key = Key(
            kind="model",
            name=f"{source.ref.name}-{peer.name}",
            params={
                "preset": peer.name,
                "grid": {name: list(values) for name, values in peer.grid.items()},
                "revision": peer.revision,
                "seed": seed,
            },
            inputs={"graph": source.ref, "features": features.ref},
            data=None,
        )

        def build(draft: Draft, peer: Peer = peer) -> None:
            given = with_unseen_prior() if peer.fitted_prior else data()
            _write(draft, peer, given, source, features, seed, reporter)

        outcomes.append(store.materialise(key, build, force=force))
    return outcomes


def rating_data(graph: Artifact, features: Artifact) -> RatingData:
    """Fitted, held and select ratings of a graph; those of test pairs are not in it."""
    edges = _edges(graph, ("user", "inter", "item"))
    fit, select = np.isin(edges["role"], (FIT, HOLD)), edges["role"] == SELECT
    summary: Any = features.manifest.summary
    low, high = summary["scale"]
    return RatingData(
        num_users=int(summary["users"]),
        num_items=int(summary["items"]),
        scale=(low, high),
        user=edges.src[fit],
        item=edges.dst[fit],
        rating=edges["target"][fit],
        select_user=edges.src[select],
        select_item=edges.dst[select],
        select_rating=edges["target"][select],
        links=_links(graph),
    )


def class_data(graph: Artifact, features: Artifact, values: NDArray[np.float32]) -> ClassData:
    """Features, prior and known labels of a classification, those of FIT and of HOLD.

    Args:
        graph: Its intra-edges are read.
        features: Prior, labels and roles.
        values: (num_left, dim) what is known of each instance.
    """
    left, right = (str(features.manifest.summary[side]) for side in ("left", "right"))
    raw = values.astype(np.float64)
    spread = raw.std(axis=0)
    matrix = (raw - raw.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
    table = features.table("instances.parquet", ("label", "role"))
    label, role = (table[name].to_numpy() for name in ("label", "role"))
    select = np.flatnonzero(role == "select")
    intra = _edges(graph, (left, "intra", left))
    inter = _edges(graph, (left, "inter", right))
    log_prior = log_softmax(features.arrays("prior.safetensors")["logits"])
    candidates = np.zeros(log_prior.shape, bool)
    candidates[inter.src, inter.dst] = True
    return ClassData(
        features=matrix.astype(np.float32),
        log_prior=log_prior,
        labels=np.where(np.isin(role, ("fit", "hold")), label, -1).astype(np.int64),
        held=role == "hold",
        select=select,
        select_labels=label[select].astype(np.int64),
        edges=np.stack([intra.src, intra.dst]),
        weight=intra["weight"],
        candidates=candidates,
        log_views=log_softmax(features.arrays(VIEWS)["logits"])
        if VIEWS in features.manifest.files
        else None,
    )


def _write(
    draft: Draft,
    peer: Peer,
    data: ClassData | RatingData,
    graph: Artifact,
    features: Artifact,
    seed: int,
    reporter: Reporter,
) -> None:
    """Tune the peer and write its answers."""
    tuned = tune(peer, data, seed, reporter)
    summary: Any = features.manifest.summary
    edges = _edges(graph, (str(summary["left"]), "inter", str(summary["right"])))
    if isinstance(data, RatingData):
        score = tuned.prediction(edges.src, edges.dst)
    else:
        # float32 may round a probability of 1 upwards
        score = np.clip(tuned.prediction[edges.src, edges.dst], 0.0, 1.0)
    draft.write_table(SCORES, pa.table({"score": pa.array(score.astype(np.float32), pa.float32())}))
    columns = {name: [row[name] for row in tuned.trials] for name in tuned.trials[0]}
    draft.write_table(
        "trials.parquet",
        pa.table({name: pa.array(values, pa.float64()) for name, values in columns.items()}),
    )
    draft.summary.update(
        {
            "task": summary["task"],
            "recipe": summary.get("recipe"),
            "backbone": summary.get("backbone"),
            "reference": peer.reference,
            "chosen": dict(tuned.params),
            "best": dict(tuned.metrics),
            "trials": len(tuned.trials),
        }
    )


def scores_of(model: Artifact) -> NDArray[np.float32]:
    """What a peer says of every inter-edge, (num_inter_edges,)."""
    return np.asarray(model.table(SCORES)["score"].to_numpy(), np.float32)


def _edges(graph: Artifact, edge_type: EdgeType) -> EdgeTable:
    """The edges of one type; none where the graph has no such table."""
    name = f"edges/{edge_key(edge_type)}.parquet"
    if name in graph.manifest.files:
        return EdgeTable.from_arrow(graph.table(name), edge_type)
    nothing = np.zeros(0, np.int64)
    return EdgeTable.build(nothing, nothing, weight=np.zeros(0, np.float32))


def _links(graph: Artifact) -> NDArray[np.int64]:
    links = _edges(graph, ("user", "intra", "user"))
    return np.stack([links.src, links.dst])


def _without_social(chosen: Sequence[Peer], only: Sequence[str], reporter: Reporter) -> list[Peer]:
    """Leave out the peers that are nothing without links; one that was named is refused."""
    social = [peer.name for peer in chosen if peer.social]
    if social and only:
        raise ConfigError(
            f"{', '.join(social)} read links between users, and the graph has none",
            "build it with --intra links, or leave them out of --only",
        )
    if social:
        reporter.note(f"left out without links between users: {', '.join(social)}")
    return [peer for peer in chosen if not peer.social]


def _installed(chosen: Sequence[Peer], reporter: Reporter) -> list[Peer]:
    """Leave out the peers whose library is not there."""
    lacking = [peer for peer in chosen if peer.library and find_spec(peer.library) is None]
    if lacking:
        names = ", ".join(peer.name for peer in lacking)
        reporter.note(f"left out, not installed (pip install 'rrnet[peers]'): {names}")
    return [peer for peer in chosen if peer not in lacking]
