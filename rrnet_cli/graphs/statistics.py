"""What a graph looks like: the numbers in its manifest and on screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.graphs.edges import FIT, HOLD, SELECT, EdgeTable, EdgeType, edge_key

QUANTILES = {"min": 0.0, "p10": 0.1, "p50": 0.5, "p90": 0.9, "max": 1.0}


def graph_statistics(
    num_nodes: Mapping[str, int],
    edges: Mapping[EdgeType, EdgeTable],
    *,
    labels: NDArray[np.int64] | None = None,
    roles: NDArray[np.int8] | None = None,
) -> dict[str, Any]:
    """Counts, degrees, homophily and candidate recall of a graph, as JSON values.

    Args:
        num_nodes: Nodes of each type.
        edges: The edge tables.
        labels: (num_left,) int64 labels of the left nodes (classification); those of test
            instances are not looked at.
        roles: (num_left,) int8, likewise.

    Returns:
        ``nodes`` and ``edges`` by type; ``degrees`` by edge type: quantiles of the in-degree and
        ``isolated`` receivers, and for inter-edges the same of senders under ``from``. With
        labels also ``homophily`` of each left intra edge type and ``recall`` of the candidates.
    """
    statistics: dict[str, Any] = {
        "nodes": dict(num_nodes),
        "edges": {edge_key(edge_type): len(table) for edge_type, table in edges.items()},
        "degrees": {},
    }
    for edge_type, table in edges.items():
        degrees = degree_quantiles(table.dst, num_nodes[edge_type[2]])
        if edge_type[1] == "inter":
            degrees["from"] = degree_quantiles(table.src, num_nodes[edge_type[0]])
        else:
            degrees["self_loops"] = int((table.src == table.dst).sum())
        statistics["degrees"][edge_key(edge_type)] = degrees
    if labels is None or roles is None:
        return statistics
    left = next(edge_type[0] for edge_type in edges if edge_type[1] == "inter")
    statistics["homophily"] = {
        edge_key(edge_type): homophily(table, labels, roles)
        for edge_type, table in edges.items()
        if edge_type == (left, "intra", left)
    }
    known = [("fit", FIT), ("select", SELECT), *([("hold", HOLD)] if HOLD in roles else [])]
    statistics["recall"] = {
        edge_key(edge_type): {name: candidate_recall(table, roles, role) for name, role in known}
        for edge_type, table in edges.items()
        if edge_type[1] == "inter"
    }
    return statistics


def degree_quantiles(ids: NDArray[np.int64], num_nodes: int) -> dict[str, Any]:
    """Quantiles of how often each node occurs in `ids`, and how many never do (`isolated`)."""
    degrees = np.bincount(ids, minlength=num_nodes)
    if num_nodes == 0:
        return {name: None for name in QUANTILES} | {"isolated": 0}
    values = np.quantile(degrees, list(QUANTILES.values()))
    quantiles: dict[str, Any] = dict(zip(QUANTILES, map(float, values), strict=True))
    return quantiles | {"isolated": int((degrees == 0).sum())}


def homophily(table: EdgeTable, labels: NDArray[np.int64], roles: NDArray[np.int8]) -> float | None:
    """Share of intra-edges between two fit nodes that join equal labels; None without such."""
    known = (roles[table.src] == FIT) & (roles[table.dst] == FIT)
    if not known.any():
        return None
    return float((labels[table.src[known]] == labels[table.dst[known]]).mean())


def candidate_recall(table: EdgeTable, roles: NDArray[np.int8], role: int) -> float | None:
    """Share of the instances of a role whose label is among their candidates; None without such.

    The table's targets say which candidate is the label, so the test role has no recall here.
    """
    total = int((roles == role).sum())
    if total == 0:
        return None
    found = int(((table["target"] == 1) & (table["role"] == role)).sum())
    return found / total
