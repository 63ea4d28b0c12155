"""From artifacts to judged runs: a model's scores beside its baseline's, on the same instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import ArtifactCorruptError, ConfigError, UpstreamError
from rrnet_cli.evaluation.classification import ClassRun
from rrnet_cli.evaluation.comparison import Run
from rrnet_cli.evaluation.oracle import OracleBound, neighbour_votes, oracle_bound
from rrnet_cli.evaluation.ratings import RatingRun
from rrnet_cli.evaluation.scores import class_scores, softmax
from rrnet_cli.graphs.edges import EDGE_ROLES, EdgeTable, edge_key

if TYPE_CHECKING:
    from rrnet_cli.settings import EvalSettings
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.store import Store


@dataclass(frozen=True)
class Source:
    """A model and the two artifacts it was made from."""

    model: Artifact
    graph: Artifact
    features: Artifact

    @classmethod
    def open(cls, store: Store, ref: str | None) -> Source:
        """Open a model (None: the newest), its graph and its features.

        Raises:
            UpstreamError: One of them is missing, or graph and model are of unlike features.
        """
        model = store.resolve("model", ref)
        graph = store.resolve("graph", str(model.manifest.inputs["graph"]))
        wanted = model.manifest.inputs["features"]
        if graph.manifest.inputs["features"].version != wanted.version:
            raise UpstreamError(
                f"{model.ref} was trained on {wanted}, its graph {graph.ref} was built on "
                f"{graph.manifest.inputs['features']}",
                "train the model again: `rrnet train`",
            )
        return cls(model, graph, store.resolve("features", str(wanted)))

    @property
    def task(self) -> str:
        """`classification` or `rating`."""
        return str(self.features.manifest.summary["task"])

    @property
    def data(self) -> str:
        """Name of the data set, for tables."""
        summary = self.features.manifest.summary
        return str(summary.get("dataset") or summary.get("recipe") or self.features.ref.name)

    @property
    def backbone(self) -> str:
        """Of the baseline."""
        return str(self.features.manifest.summary["backbone"])

    @property
    def preset(self) -> str:
        """Of RR-Net."""
        return str(self.model.manifest.params["preset"])

    def class_names(self) -> list[str]:
        """Names of the labels, in the order of their indices; none for ratings."""
        if self.task == "rating":
            return []
        return [str(name) for name in self.features.table("labels.parquet")["name"].to_pylist()]


def judge(source: Source, scores: NDArray[np.float32], settings: EvalSettings) -> Run:
    """Set a model's scores beside its baseline's, on the instances of the split.

    Args:
        source: The model and what it was made from.
        scores: (num_inter_edges,) in the order of the inter-edge table: P of eq. (2), or ratings.
        settings: `split` and `bins`.

    Raises:
        ArtifactCorruptError: The graph knows a target of a test edge.
        ConfigError: The split has no instances.
        UpstreamError: Graph, scores and features do not fit together.
    """
    summary = source.features.manifest.summary
    edge_type = (str(summary["left"]), "inter", str(summary["right"]))
    name = f"edges/{edge_key(edge_type)}.parquet"
    # the table refuses a target on a test edge: test labels are read here and nowhere before
    edges = EdgeTable.from_arrow(
        source.graph.table(name),
        edge_type,
        error=ArtifactCorruptError,
        where=f"{source.graph.ref}: {name}",
    )
    if scores.shape != (len(edges),):
        raise UpstreamError(
            f"{source.model.ref} scores {scores.shape} edges, {source.graph.ref} has {len(edges):,}"
        )
    if not np.isfinite(scores).all():
        raise UpstreamError(
            f"{source.model.ref} gives NaN or infinity on {(~np.isfinite(scores)).sum():,} edges",
            "train it again with a lower --lr",
        )
    if source.task == "rating":
        return _judge_ratings(source, edges, scores, settings)
    return _judge_classes(source, edges, scores, settings)


def _judge_classes(
    source: Source, edges: EdgeTable, scores: NDArray[np.float32], settings: EvalSettings
) -> ClassRun:
    instances = _columns(source.features, "instances.parquet", ("id", "label", "role"))
    chosen = np.flatnonzero(instances["role"] == settings.split)
    _require_some(chosen, source, settings)
    row_of = np.full(len(instances["role"]), -1, dtype=np.int64)
    row_of[chosen] = np.arange(len(chosen))
    theirs = row_of[edges.src] >= 0
    _check_roles(edges, theirs, source, settings)
    owner = row_of[edges.src[theirs]]
    bare = np.bincount(owner, minlength=len(chosen)) == 0
    if bare.any():
        raise UpstreamError(
            f"{source.graph.ref} has no inter-edge for {bare.sum():,} {settings.split} instances, "
            f"first '{instances['id'][chosen[bare][0]]}'",
            "build the graph again: `rrnet build-graph`",
        )
    logits = source.features.arrays("prior.safetensors")["logits"]
    try:
        table = class_scores(
            owner, edges.dst[theirs], scores[theirs], len(chosen), int(logits.shape[1])
        )
    except ValueError as error:
        raise UpstreamError(f"{source.model.ref} gives {error}") from error
    return ClassRun.of(
        instances["id"][chosen].astype(np.str_),
        instances["label"][chosen].astype(np.int64),
        softmax(logits[chosen]),
        table,
        settings.bins,
    )


def oracle(source: Source, settings: EvalSettings) -> OracleBound:
    """What the graph knows of its baseline's errors, for a classification.

    Args:
        source: Any model on the graph; it plays no part.
        settings: `split`.

    Raises:
        As `judge`.
    """
    left, right = (str(source.features.manifest.summary[side]) for side in ("left", "right"))
    inter = source.graph.table(f"edges/{left}.inter.{right}.parquet", ("src",))
    run = judge(source, np.zeros(inter.num_rows, np.float32), settings)
    assert isinstance(run, ClassRun)
    instances = _columns(source.features, "instances.parquet", ("label", "role"))
    votes = np.full(len(instances["label"]), -1, np.int64)
    name = f"edges/{left}.intra.{left}.parquet"
    if name in source.graph.manifest.files:
        edges = _columns(source.graph, name, ("src", "dst", "weight"))
        known = np.where(instances["role"] == "fit", instances["label"], -1).astype(np.int64)
        ends = edges["src"], edges["dst"]
        votes = neighbour_votes(*ends, edges["weight"], known, run.num_classes)
    chosen = instances["role"] == settings.split
    return oracle_bound(run.labels, run.baseline.predicted, run.candidate, votes[chosen])


def _judge_ratings(
    source: Source, edges: EdgeTable, scores: NDArray[np.float32], settings: EvalSettings
) -> RatingRun:
    features = source.features
    ratings = _columns(features, "ratings.parquet", ("user", "item", "rating", "prior", "role"))
    chosen = np.flatnonzero(ratings["role"] == settings.split)
    _require_some(chosen, source, settings)
    user, item = ratings["user"][chosen], ratings["item"][chosen]
    users, items = (
        _columns(features, name, ("id",))["id"] for name in ("users.parquet", "items.parquet")
    )
    # edges are sorted by item then user: one number a pair keeps that order
    place = edges.dst * len(users) + edges.src
    wanted = item * len(users) + user
    found = np.minimum(np.searchsorted(place, wanted), len(place) - 1)
    missing = place[found] != wanted
    if missing.any():
        raise UpstreamError(
            f"{source.graph.ref} has no inter-edge for {missing.sum():,} of {len(chosen):,} "
            f"{settings.split} ratings",
            "build the graph again with --inter all or --inter rated",
        )
    _check_roles(edges, found, source, settings)
    scale: Any = features.manifest.summary["scale"]
    names = zip(users[user], items[item], strict=True)
    return RatingRun(
        np.array([f"{left}\t{right}" for left, right in names], dtype=np.str_),
        ratings["rating"][chosen].astype(np.float64),
        # both sides know the scale, so neither is charged for leaving it
        np.clip(ratings["prior"][chosen].astype(np.float64), *scale),
        np.clip(scores[found].astype(np.float64), *scale),
        settings.bins,
    )


def _columns(artifact: Artifact, name: str, wanted: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    table = artifact.table(name, wanted)
    return {column: table[column].to_numpy() for column in wanted}


def _check_roles(
    edges: EdgeTable, chosen: NDArray[Any], source: Source, settings: EvalSettings
) -> None:
    """The graph must have held these edges back (or selected on them) as the features say."""
    if (edges["role"][chosen] != EDGE_ROLES.index(settings.split)).any():
        raise UpstreamError(
            f"{source.graph.ref} gives {settings.split} instances of {source.features.ref} "
            "another role",
            "build the graph again: `rrnet build-graph`",
        )


def _require_some(chosen: NDArray[np.int64], source: Source, settings: EvalSettings) -> None:
    if not len(chosen):
        raise ConfigError(
            f"{source.features.ref} has no {settings.split} instances",
            "choose another --split, or extract with one",
        )
