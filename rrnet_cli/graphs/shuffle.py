"""The control of intra-edges: the same graph over nodes that changed places."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rrnet_cli.graphs.edges import EdgeTable, EdgeType


def shuffle_intra(edges: Mapping[EdgeType, EdgeTable], seed: int) -> dict[EdgeType, EdgeTable]:
    """All tables, those of intra-edges with their nodes permuted by `permute_nodes`."""
    return {
        edge_type: permute_nodes(table, seed) if edge_type[1] == "intra" else table
        for edge_type, table in edges.items()
    }


def permute_nodes(edges: EdgeTable, seed: int) -> EdgeTable:
    """Give the nodes that have edges each other's edges at random; the others stay without.

    The shape of the graph is kept (degree sequence, triangles, links in both directions, weights);
    who is linked to whom, and how many links each one has, is not.

    Args:
        edges: Of one node type to itself.
        seed: Of the permutation.
    """
    nodes, place = np.unique(np.stack([edges.src, edges.dst]), return_inverse=True)
    src, dst = np.random.default_rng(seed).permutation(nodes)[place.reshape(2, -1)]
    return EdgeTable.build(src, dst, **edges.attributes)
