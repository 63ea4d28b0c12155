"""Edge tables to a DGL heterograph and back, losslessly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dgl
import numpy as np
import torch

from rrnet_cli.errors import ArtifactCorruptError, InputError
from rrnet_cli.graphs.edges import DTYPES, EdgeTable, EdgeType, columns_of, edge_key

if TYPE_CHECKING:
    import pyarrow as pa


def to_heterograph(
    num_nodes: Mapping[str, int], edges: Mapping[EdgeType, Iterable[EdgeTable]]
) -> dgl.DGLGraph:
    """Build the graph that RR-Net works on.

    Args:
        num_nodes: Nodes of each type; types without an edge are kept.
        edges: For each canonical edge type its table in parts of consecutive rows, of which one
            is looked at after the other; edge ids are the rows.

    Returns:
        A heterograph with int32 ids, compressed by target, whose edge data are the tables'
        attributes: float32 ``weight``, ``prior``, ``target`` and int8 ``role``, each (num_edges,).

    Raises:
        InputError: An unknown node type, a wrong set of columns, an id that names no node, parts
            that are not in order, or more edges than int32 counts.
    """
    compressed, data = {}, {}
    for edge_type, parts in edges.items():
        for node_type in (edge_type[0], edge_type[2]):
            if node_type not in num_nodes:
                raise InputError(f"{edge_key(edge_type)}: no nodes of type {node_type!r}")
        sizes = num_nodes[edge_type[0]], num_nodes[edge_type[2]]
        first, source, attributes = _joined(edge_type, sizes, parts)
        # DGL could number the edges itself, but some of its kernels ask for the numbers.
        ids = torch.arange(len(source), dtype=torch.int32)
        compressed[edge_type] = ("csc", (first, source, ids))
        data[edge_type] = attributes
    graph = dgl.heterograph(compressed, dict(num_nodes), idtype=torch.int32)
    for edge_type, attributes in data.items():
        graph.edges[edge_type].data.update(attributes)
    return graph


def _joined(
    edge_type: EdgeType, sizes: tuple[int, int], parts: Iterable[EdgeTable]
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """First edge of each target and the end (int32), source of each edge (int32), attributes."""
    names = columns_of(edge_type)
    sources: list[Any] = [np.zeros(0, np.int32)]
    columns: dict[str, list[Any]] = {name: [np.zeros(0, DTYPES[name])] for name in names}
    degree = np.zeros(sizes[1], np.int64)
    last, rows = (-1, -1), 0
    for part in parts:
        where = edge_key(edge_type) + (f", after {rows:,} rows" if rows else "")
        if set(part.attributes) != set(names):
            raise InputError(
                f"{where}: columns {sorted(part.attributes)} are not those of its type"
            )
        part.check_ids(*sizes, where=where)
        if not len(part):
            continue
        if last >= (int(part.dst[0]), int(part.src[0])):
            raise InputError(f"{where}: columns 'dst', 'src', row 0: not sorted by dst then src")
        last, rows = (int(part.dst[-1]), int(part.src[-1])), rows + len(part)
        low, high = int(part.dst[0]), int(part.dst[-1]) + 1
        degree[low:high] += np.bincount(part.dst - low, minlength=high - low)
        sources.append(part.src.astype(np.int32))
        for name in names:
            columns[name].append(part[name])
    if rows > np.iinfo(np.int32).max:
        raise InputError(f"{edge_key(edge_type)}: {rows:,} edges are more than ids can count")
    first = np.concatenate([np.zeros(1, np.int32), degree.cumsum(dtype=np.int32)])
    source = np.concatenate(sources)
    sources.clear()
    attributes = {name: torch.from_numpy(np.concatenate(columns.pop(name))) for name in names}
    return torch.from_numpy(first), torch.from_numpy(source), attributes


def from_tables(
    num_nodes: Mapping[str, int], tables: Mapping[EdgeType, Iterable[pa.Table]]
) -> dgl.DGLGraph:
    """Build the graph from the tables of an artifact, in parts, trusting nothing in them.

    Raises:
        ArtifactCorruptError: A table breaks a rule of `EdgeTable`; names file, column and row.
    """
    edges = {edge_type: _checked(edge_type, parts) for edge_type, parts in tables.items()}
    try:
        return to_heterograph(num_nodes, edges)
    except InputError as broken:
        raise ArtifactCorruptError(broken.message, broken.hint) from None


def _checked(edge_type: EdgeType, parts: Iterable[pa.Table]) -> Iterator[EdgeTable]:
    """Each part as an edge table; a row in a message is counted from the part's first."""
    rows = 0
    for part in parts:
        where = edge_key(edge_type) + (f", after {rows:,} rows" if rows else "")
        yield EdgeTable.from_arrow(part, edge_type, error=ArtifactCorruptError, where=where)
        rows += part.num_rows
