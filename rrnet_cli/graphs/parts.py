"""A heterograph cut into parts for DGL's distributed engine, and what the cut costs."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dgl
import torch
from torch import Tensor

from rrnet_cli.errors import ConfigError
from rrnet_cli.graphs.edges import EdgeType, edge_key

FEATURES, ROW = "feature", "row"
"""Node data: raw attributes. Edge data: the edge's row in the graph's table, (num_edges,) int64."""


def reverse_of(edge_type: EdgeType) -> EdgeType:
    """The type under which the inter-edges are kept a second time, from right to left.

    A part holds the edges that its own nodes receive, so a node draws at random among these alone.
    """
    return edge_type[2], "reversed", edge_type[0]


@dataclass(frozen=True)
class Assignment:
    """Where everything went.

    Attributes:
        part: (num_nodes,) int64 part of each node, by type.
        node: (num_nodes,) int64 number of each node within the parts, by type.
        row: (num_edges,) int64 number of each inter-edge within the parts.
    """

    part: Mapping[str, Tensor]
    node: Mapping[str, Tensor]
    row: Tensor


def write_parts(
    graph: dgl.DGLGraph, features: Mapping[str, Tensor], parts: int, config: Path
) -> Assignment:
    """Cut by METIS, the nodes of each type balanced, and write what servers load.

    Args:
        graph: As `to_heterograph` makes it; its edge data go into the parts.
        features: (num_nodes, width) raw attributes by node type, likewise.
        parts: Their number, 2 or more.
        config: A `.json`; it and `part<i>/` beside it are written, in DGL's own format.

    Raises:
        ConfigError: A part would have no node or no edge of some type, which DGL cannot hold.
    """
    if 2 * parts > min(graph.num_nodes(side) for side in graph.ntypes):
        raise _too_many(parts)  # METIS may abort the process on so few nodes
    (inter,) = (kind for kind in graph.canonical_etypes if kind[1] == "inter")
    both = _with_reversed(graph, inter)
    for side, values in features.items():
        both.nodes[side].data[FEATURES] = values.float()
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it reports to stdout as it goes
            old_nodes, old_edges = dgl.distributed.partition_graph(
                both, config.stem, parts, str(config.parent), return_mapping=True
            )
    except (IndexError, AssertionError, dgl.DGLError) as error:
        raise _too_many(parts) from error
    node = {side: _inverse(old_nodes[side]) for side in graph.ntypes}
    book = dgl.distributed.load_partition_book(str(config), 0)[0]
    part = {side: book.nid2partid(node[side], side).long() for side in graph.ntypes}
    return Assignment(part, node, _inverse(old_edges[inter]))


def part_statistics(graph: dgl.DGLGraph, part: Mapping[str, Tensor], parts: int) -> dict[str, Any]:
    """How even the parts are and what they cut, counted from the assignment, as JSON values.

    Args:
        graph: The whole graph.
        part: (num_nodes,) part of each node, by type.
        parts: Their number.

    Returns:
        ``nodes`` and ``edges``: of each type, the number in each part (an edge is in the part of
        the node that receives it); ``cut``: of each edge type, the number of edges between two
        parts; ``cut_share``: of all edges; ``balance``: of each type, the largest part over the
        mean.
    """
    nodes = {side: _counts(part[side], parts) for side in graph.ntypes}
    edges, cut = {}, {}
    for kind in graph.canonical_etypes:
        src, dst = graph.edges(etype=kind, order="eid")
        edges[edge_key(kind)] = _counts(part[kind[2]][dst], parts)
        cut[edge_key(kind)] = int((part[kind[0]][src] != part[kind[2]][dst]).sum())
    total = max(1, graph.num_edges())
    return {
        "nodes": nodes,
        "edges": edges,
        "cut": cut,
        "cut_share": round(sum(cut.values()) / total, 4),
        "balance": {
            name: round(max(counts) * parts / max(1, sum(counts)), 3)
            for name, counts in {**nodes, **edges}.items()
        },
    }


def _too_many(parts: int) -> ConfigError:
    return ConfigError(
        f"The graph cannot be cut into {parts} parts: one would have no node or no edge of some "
        "type.",
        "Use fewer --parts.",
    )


def _with_reversed(graph: dgl.DGLGraph, inter: EdgeType) -> dgl.DGLGraph:
    """The same graph with every inter-edge a second time, reversed; both know their row."""
    # The partitioner takes int64 alone.
    ends = {
        kind: tuple(ids.long() for ids in graph.edges(etype=kind, order="eid"))
        for kind in graph.canonical_etypes
    }
    src, dst = ends[inter]
    both = dgl.heterograph(
        {**ends, reverse_of(inter): (dst, src)},
        {side: graph.num_nodes(side) for side in graph.ntypes},
    )
    for kind in graph.canonical_etypes:
        for name, values in graph.edges[kind].data.items():
            both.edges[kind].data[name] = values
        both.edges[kind].data[ROW] = torch.arange(graph.num_edges(kind))
    both.edges[reverse_of(inter)].data[ROW] = torch.arange(graph.num_edges(inter))
    return both


def _inverse(permutation: Tensor) -> Tensor:
    result = torch.empty_like(permutation)
    result[permutation] = torch.arange(len(permutation))
    return result


def _counts(part: Tensor, parts: int) -> list[int]:
    return [int(count) for count in torch.bincount(part, minlength=parts)]
