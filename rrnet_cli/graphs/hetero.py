"""Edge tables to a DGL heterograph and back, losslessly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dgl
import numpy as np
import torch

from rrnet_cli.errors import ArtifactCorruptError, InputError
from rrnet_cli.graphs.edges import EdgeTable, EdgeType, columns_of, edge_key

if TYPE_CHECKING:
    import pyarrow as pa


def to_heterograph(
    num_nodes: Mapping[str, int], edges: Mapping[EdgeType, EdgeTable]
) -> dgl.DGLGraph:
    """Build the graph that RR-Net works on.

    Args:
        num_nodes: Nodes of each type; types without an edge are kept.
        edges: A table for each canonical edge type; edge ids are the tables' rows.

    Returns:
        A heterograph with int64 ids whose edge data are the tables' attributes: float32
        ``weight``, ``prior``, ``target`` and int8 ``role``, each (num_edges,).

    Raises:
        InputError: An unknown node type, a wrong set of columns, or an id that names no node.
    """
    for edge_type, table in edges.items():
        key = edge_key(edge_type)
        for node_type in (edge_type[0], edge_type[2]):
            if node_type not in num_nodes:
                raise InputError(f"{key}: no nodes of type {node_type!r}")
        if set(table.attributes) != set(columns_of(edge_type)):
            raise InputError(f"{key}: columns {sorted(table.attributes)} are not those of its type")
        table.check_ids(num_nodes[edge_type[0]], num_nodes[edge_type[2]], where=key)
    graph = dgl.heterograph(
        {kind: (_tensor(table.src), _tensor(table.dst)) for kind, table in edges.items()},
        dict(num_nodes),
        idtype=torch.int64,
    )
    for edge_type, table in edges.items():
        for name, values in table.attributes.items():
            graph.edges[edge_type].data[name] = _tensor(values)
    return graph


def from_heterograph(
    graph: dgl.DGLGraph,
) -> tuple[dict[str, int], dict[EdgeType, EdgeTable]]:
    """The node counts and edge tables that `to_heterograph` would build `graph` from."""
    edges = {}
    for edge_type in graph.canonical_etypes:
        src, dst = graph.edges(etype=edge_type, order="eid")
        data = graph.edges[edge_type].data
        attributes = {name: data[name].numpy() for name in columns_of(edge_type)}
        edges[edge_type] = EdgeTable.build(src.numpy(), dst.numpy(), **attributes)
    return {name: graph.num_nodes(name) for name in graph.ntypes}, edges


def from_tables(num_nodes: Mapping[str, int], tables: Mapping[EdgeType, pa.Table]) -> dgl.DGLGraph:
    """Build the graph from the tables of an artifact, trusting nothing in them.

    Raises:
        ArtifactCorruptError: A table breaks a rule of `EdgeTable`; names file, column and row.
    """
    edges = {
        edge_type: EdgeTable.from_arrow(table, edge_type, error=ArtifactCorruptError)
        for edge_type, table in tables.items()
    }
    try:
        return to_heterograph(num_nodes, edges)
    except InputError as broken:
        raise ArtifactCorruptError(broken.message, broken.hint) from None


def _tensor(values: np.ndarray[Any, Any]) -> torch.Tensor:
    """A tensor that shares no memory with a read-only buffer."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())
