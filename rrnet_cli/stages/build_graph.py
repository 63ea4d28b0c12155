"""Stage `build-graph`: a features artifact to two Intra Graphs and one Inter Graph (Sec. III-B)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.graphs.candidates import RatedPairs, all_rating_edges, top_candidates
from rrnet_cli.graphs.columns import NONE, read_columns
from rrnet_cli.graphs.edges import EdgeTable, EdgeType, edge_key
from rrnet_cli.graphs.links import link_edges
from rrnet_cli.graphs.shuffle import shuffle_intra
from rrnet_cli.graphs.statistics import graph_statistics
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import GraphSettings
from rrnet_cli.stages._base_graph import check_base, first_base, known_neighbours
from rrnet_cli.stages._graph_checks import check_ids, check_instances, check_rows, note_empty_roles
from rrnet_cli.stages._neighbours import near_edges, settle_knn
from rrnet_cli.stages._recorded import settings_of
from rrnet_cli.stages._second import check_second
from rrnet_cli.store.reference import Key

if TYPE_CHECKING:
    from torch import Tensor

    from rrnet_cli.graphs.extension import Known
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store

MAX_PAIRS = 50_000_000
"""Most edges of ``inter=all``: about 3 GB in memory, and what one Parquet file holds."""

_INHERITED = ("task", "left", "right", "recipe", "dataset", "backbone")


def build_graph(
    settings: GraphSettings,
    *,
    store: Store,
    features: str | None,
    name: str | None,
    reporter: Reporter,
    base: str | None = None,
    neighbours: str | None = None,
    force: bool = False,
) -> Outcome:
    """Build the graph artifact of a features artifact.

    Args:
        settings: Of the stage; the graph's version depends on them and on the features.
        store: Where artifacts are.
        features: Reference of the features; None for the newest.
        name: Of the graph; where None the features' name, with `-near-<neighbours>` behind it where
            others say who is near, and `-shuffled<seed>` for the control with shuffled
            intra-edges, so that neither stands for the plain one.
        reporter: Progress and notes.
        base: Reference of a graph of some of these instances, whose neighbours are extended
            instead of searched again.
        neighbours: Reference of other features of the same instances: left nodes are near by
            theirs. The prior, the candidates and the attributes remain those of `features`.
        force: Build again even where the same version is there.

    Returns:
        The graph artifact: ``edges/<source>.<intra|inter>.<destination>.parquet``. A side without
        intra-edges has no such file.

    Raises:
        ArtifactFormatError: The base's settings are of another version of rrnet.
        ConfigError: Settings that the task, or the base, gives no meaning to.
        InputError: Features, labels or links that break a rule, a base of other features, or
            neighbours of other instances or roles; names column and row, or the instance.
    """
    source = store.resolve("features", features)
    settings = settle_knn(settings, source)
    check_settings(settings, source.manifest.summary)
    inputs, extended, second = {"features": source.ref}, None, None
    if neighbours is not None:
        second = store.resolve("features", neighbours)
        check_second(second, source, settings, base=base is not None)
        inputs["neighbours"] = second.ref
    if base is not None:
        extended = first_base(store.resolve("graph", base), source, store)
        check_base(settings, settings_of(extended, GraphSettings))
        inputs["base"] = extended.ref
    key = Key(
        kind="graph",
        name=name or _default_name(settings, source, second),
        params=settings.recorded(),
        inputs=inputs,
        data=None,
    )

    def build(draft: Draft) -> None:
        if source.manifest.summary["task"] == "rating":
            made = _from_ratings(source, settings, reporter)
        else:
            known = known_neighbours(extended, settings, source, store) if extended else None
            made = _from_labels(source, second or source, settings, reporter, known)
        edges = made.edges
        if settings.shuffle_intra is not None:
            edges = shuffle_intra(edges, settings.shuffle_intra)
        for edge_type, table in edges.items():
            draft.write_table(f"edges/{edge_key(edge_type)}.parquet", table.to_arrow())
        summary = source.manifest.summary
        draft.summary.update({entry: summary.get(entry) for entry in _INHERITED})
        if made.knn:
            draft.summary["knn"] = made.knn
        draft.summary["statistics"] = graph_statistics(
            made.num_nodes, edges, labels=made.labels, roles=made.roles
        )

    return store.materialise(key, build, force=force)


def default_settings(summary: Any) -> GraphSettings:
    """What a features artifact without a recipe gets: kNN and top-K, or links and rated pairs.

    Args:
        summary: Of the features artifact's manifest.
    """
    if summary["task"] == "rating":
        intra = "links" if summary.get("links") else "none"
        return GraphSettings(intra=intra, inter="rated", k_intra_right=0)
    return GraphSettings()


def check_settings(settings: GraphSettings, summary: Any) -> None:
    """Refuse settings that the task gives no meaning to.

    Args:
        settings: Of the stage.
        summary: Of the features artifact's manifest.

    Raises:
        ConfigError: Names the flag and what to pass instead.
    """
    if settings.shuffle_intra is not None and settings.intra == "none":
        raise ConfigError(
            "--shuffle-intra: the graph has no intra-edges to shuffle",
            "Use --intra knn or --intra links.",
        )
    if settings.knn == "approx" and settings.intra != "knn":
        raise ConfigError(
            "--knn approx: the graph has no nearest neighbours to search",
            "Use --intra knn, or leave --knn out.",
        )
    if summary["task"] == "rating":
        if settings.intra == "knn":
            raise ConfigError(
                "--intra knn: attributes of users and items are random, near ones mean nothing",
                "Use --intra links or --intra none.",
            )
        if settings.inter == "topk":
            raise ConfigError(
                "--inter topk: ratings have no candidates to rank",
                "Use --inter rated or --inter all.",
            )
        if settings.intra == "links" and not summary.get("links"):
            raise ConfigError(
                "--intra links: these features have no social links", "Use --intra none."
            )
    elif settings.intra == "links":
        raise ConfigError(
            "--intra links: these features have no links", "Use --intra knn or --intra none."
        )
    elif settings.inter == "rated":
        raise ConfigError(
            "--inter rated: these features have no ratings", "Use --inter topk or --inter all."
        )


def _default_name(settings: GraphSettings, source: Artifact, second: Artifact | None) -> str:
    name = source.ref.name if second is None else f"{source.ref.name}-near-{second.ref.name}"
    seed = settings.shuffle_intra
    return name if seed is None else f"{name}-shuffled{seed}"


@dataclass(frozen=True)
class _Graph:
    num_nodes: dict[str, int]
    edges: dict[EdgeType, EdgeTable]
    labels: NDArray[np.int64] | None = None
    roles: NDArray[np.int8] | None = None
    knn: dict[str, dict[str, float]] = field(default_factory=dict)


def _from_labels(
    source: Artifact,
    near: Artifact,
    settings: GraphSettings,
    reporter: Reporter,
    known: Known | None,
) -> _Graph:
    """Classification: instances and labels; instances are near by the features of `near`."""
    left, right = (str(source.manifest.summary[side]) for side in ("left", "right"))
    features = _features(source, left, right)
    logits = source.arrays("prior.safetensors")["logits"]
    instances = read_columns(
        source.table("instances.parquet"),
        {"id": "string", "label": "int64", "role": "role"},
        where="instances.parquet",
    )
    labels, roles = instances["label"], instances["role"]
    num_nodes = {left: len(features[left]), right: len(features[right])}
    check_rows({"instances": len(labels), f"features of {left}": num_nodes[left]}, logits, 0)
    num_labels = source.table("labels.parquet").num_rows
    check_rows({"labels": num_labels, f"features of {right}": num_nodes[right]}, logits, 1)
    check_instances(instances["id"], labels, roles, num_labels, reporter)
    compared = {left: _features(near, left, right)[left], right: features[right]}
    edges, knn = near_edges(settings, compared, (left, right), reporter, known)
    k_inter = num_labels if settings.inter == "all" else settings.k_inter
    candidates = top_candidates(logits, k_inter, reporter)
    edges[left, "inter", right] = candidates.to_edges(labels, roles)
    return _Graph(num_nodes, edges, labels, roles, knn)


def _from_ratings(source: Artifact, settings: GraphSettings, reporter: Reporter) -> _Graph:
    """Recommendation: users and items."""
    left, right = (str(source.manifest.summary[side]) for side in ("left", "right"))
    features = _features(source, left, right)
    num_nodes = {left: len(features[left]), right: len(features[right])}
    pairs = _rated_pairs(source, num_nodes[left], num_nodes[right])
    edges: dict[EdgeType, EdgeTable] = {}
    if settings.intra == "links":
        columns = read_columns(
            source.table("links.parquet"), {"src": "int64", "dst": "int64"}, where="links.parquet"
        )
        links = np.stack([columns["src"], columns["dst"]])
        edges[left, "intra", left] = link_edges(links, num_nodes[left])
    if settings.inter == "all":
        inter = all_rating_edges(pairs, _predict_all(source, num_nodes[left], num_nodes[right]))
    else:
        inter = pairs.to_edges()
    edges[left, "inter", right] = inter
    note_empty_roles(pairs.roles, "ratings", reporter)
    return _Graph(num_nodes, edges)


def _features(source: Artifact, left: str, right: str) -> dict[str, Tensor]:
    features = source.tensors("features.safetensors")
    for side in (left, right):
        if side not in features:
            raise InputError(f"features.safetensors has no tensor {side!r}")
    return features


def _rated_pairs(source: Artifact, num_users: int, num_items: int) -> RatedPairs:
    where = "ratings.parquet"
    columns = read_columns(
        source.table(where),
        {"user": "int64", "item": "int64", "rating": "float", "prior": "float", "role": "role"},
        where=where,
    )
    for name, count in (("user", num_users), ("item", num_items)):
        check_ids(columns[name], count, f"{where}: column {name!r}")
    roles = columns["role"]
    if (roles == NONE).any():
        raise InputError(f"{where}: column 'role', row {int((roles == NONE).argmax())}: none")
    for name in ("rating", "prior"):
        bad = ~np.isfinite(columns[name])
        if bad.any():
            raise InputError(f"{where}: column {name!r}, row {int(bad.argmax())}: NaN or Inf")
    return RatedPairs(
        columns["user"], columns["item"], columns["rating"], columns["prior"], columns["role"]
    )


def _predict_all(source: Artifact, num_users: int, num_items: int) -> NDArray[np.float32]:
    """The baseline's rating of every pair, within the scale: (num_users, num_items)."""
    if num_users * num_items > MAX_PAIRS:
        raise ConfigError(
            f"--inter all: {num_users:,} users times {num_items:,} items are more than "
            f"{MAX_PAIRS:,} edges",
            "Use --inter rated.",
        )
    model = source.arrays("baseline.safetensors")
    for name, count in (("user_bias", num_users), ("item_bias", num_items)):
        if model[name].shape != (count,):
            raise InputError(
                f"baseline.safetensors: {name} has shape {model[name].shape}, not ({count},)"
            )
    summary: Any = source.manifest.summary
    low, high = summary["scale"]
    rating = (model["mu"] + model["user_bias"])[:, None] + model["item_bias"]
    if "user_factors" in model:
        rating = rating + model["user_factors"] @ model["item_factors"].T
    return np.asarray(np.clip(rating, low, high), dtype=np.float32)
