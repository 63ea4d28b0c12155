"""Intra-edges of stage `build-graph` by nearest neighbours (Sec. III-B2), and by which search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from rrnet_cli.graphs.edges import EdgeTable, EdgeType
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import GraphSettings

if TYPE_CHECKING:
    from torch import Tensor

    from rrnet_cli.graphs.extension import Known
    from rrnet_cli.store.artifact import Artifact

WORTHWHILE = 0.15
"""Largest share of new nodes for which exact lists are extended: above, a search may be faster."""

AUTO_NODES = 100_000
"""Most nodes of a side that ``knn=auto`` searches exactly (docs/performance.md has the figures)."""


def settle_knn(settings: GraphSettings, source: Artifact) -> GraphSettings:
    """What ``knn=auto`` comes to, by the number of nodes alone: the version is taken over it.

    Args:
        settings: Of the stage.
        source: The features artifact; its manifest says how many nodes there are.

    Returns:
        The settings with ``knn`` exact or approx.
    """
    if settings.knn != "auto":
        return settings
    summary = source.manifest.summary
    sides = {str(summary["left"]): settings.k_intra, str(summary["right"]): settings.k_intra_right}
    file = source.manifest.files.get("features.safetensors")
    tensors = (file.tensors if file else None) or {}
    searched = [
        tensors[side].shape[0]
        for side, k in sides.items()
        if settings.intra == "knn" and k > 0 and side in tensors
    ]
    large = max(searched, default=0) > AUTO_NODES
    return settings.model_copy(update={"knn": "approx" if large else "exact"})


def near_edges(
    settings: GraphSettings,
    features: Mapping[str, Tensor],
    sides: tuple[str, str],
    reporter: Reporter,
    known: Known | None = None,
) -> tuple[dict[EdgeType, EdgeTable], dict[str, dict[str, float]]]:
    """The intra-edges of both sides, none where ``intra`` is not ``knn``.

    Args:
        settings: Of the stage; its ``knn`` is settled.
        features: For each side (num_nodes, dim) float32.
        sides: Names of the left and the right modality.
        reporter: Progress and notes.
        known: What is known of the left side's neighbours; the right side is always searched.

    Returns:
        The edges, and of each side that was searched approximately how well: the fields of `Found`,
        without those of the index where known lists were extended.

    Raises:
        InputError: As `nearest_neighbours`.
        ResourceError: As `approximate_neighbours`.
    """
    # Imported here: a cached graph is found without torch.
    from rrnet_cli.graphs.approximate import approximate_neighbours, measure_recall
    from rrnet_cli.graphs.extension import extend_neighbours
    from rrnet_cli.graphs.knn import nearest_neighbours

    if known is not None and settings.knn == "exact":  # either way the edges are the same
        num_nodes = len(features[sides[0]])
        known = known if num_nodes - len(known.nodes) <= WORTHWHILE * num_nodes else None
    edges: dict[EdgeType, EdgeTable] = {}
    quality: dict[str, dict[str, float]] = {}
    for side, k in zip(sides, (settings.k_intra, settings.k_intra_right), strict=True):
        if settings.intra != "knn" or k == 0:
            continue
        matrix, metric = features[side], settings.metric
        if known is not None and side == sides[0]:
            neighbours = extend_neighbours(
                matrix, k, known, metric=metric, modality=side, reporter=reporter
            )
            if settings.knn == "approx":
                recall, sample = measure_recall(matrix, neighbours, metric=metric)
                quality[side] = {"recall": recall, "sample": sample}
        elif settings.knn == "approx":
            neighbours, found = approximate_neighbours(
                matrix, k, metric=metric, modality=side, reporter=reporter
            )
            if found is not None:
                quality[side] = asdict(found)
        else:
            neighbours = nearest_neighbours(
                matrix, k, metric=metric, modality=side, reporter=reporter
            )
        edges[side, "intra", side] = neighbours.to_edges()
    return edges, quality
