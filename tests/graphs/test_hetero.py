from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dgl
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings

from rrnet_cli.errors import ArtifactCorruptError, InputError
from rrnet_cli.graphs.edges import EdgeTable, EdgeType, columns_of
from rrnet_cli.graphs.hetero import from_tables, to_heterograph
from tests.graphs.strategies import graphs

INTRA = ("audio", "intra", "audio")
INTER = ("audio", "inter", "text")


def loops(*ids: int) -> EdgeTable:
    nodes = np.array(ids, dtype=np.int64)
    return EdgeTable.build(nodes, nodes, weight=np.ones(len(ids), np.float32))


def from_heterograph(graph: dgl.DGLGraph) -> tuple[dict[str, int], dict[EdgeType, EdgeTable]]:
    """The node counts and edge tables that `to_heterograph` would build `graph` from."""
    edges = {}
    for edge_type in graph.canonical_etypes:
        src, dst = graph.edges(etype=edge_type, order="eid")
        data = graph.edges[edge_type].data
        attributes = {name: data[name].numpy() for name in columns_of(edge_type)}
        edges[edge_type] = EdgeTable.build(src.long().numpy(), dst.long().numpy(), **attributes)
    return {name: graph.num_nodes(name) for name in graph.ntypes}, edges


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_round_trip_through_parquet(
    graph: tuple[dict[str, int], dict[EdgeType, EdgeTable]],
) -> None:
    num_nodes, tables = graph
    stored = {}
    for edge_type, table in tables.items():
        sink = pa.BufferOutputStream()
        pq.write_table(table.to_arrow(), sink, row_group_size=3)
        file = pq.ParquetFile(pa.BufferReader(sink.getvalue()))
        stored[edge_type] = [file.read_row_group(i) for i in range(file.num_row_groups)]
    built = from_tables(num_nodes, stored)
    assert built.idtype == torch.int32
    assert from_heterograph(built) == (num_nodes, tables)


def test_edge_data_follow_the_rows() -> None:
    table = EdgeTable.build(np.array([2, 0, 1]), np.array([0, 1, 0]), weight=np.float32([1, 2, 3]))
    graph = to_heterograph({"audio": 4}, {INTRA: [table]})
    src, dst = graph.edges(etype=INTRA)
    assert src.tolist() == table.src.tolist() and dst.tolist() == table.dst.tolist()
    weight = graph.edges[INTRA].data["weight"]
    assert weight.dtype == torch.float32 and weight.tolist() == [3, 1, 2]
    assert graph.num_nodes("audio") == 4


def test_types_of_edge_data() -> None:
    table = EdgeTable.build(
        np.array([0]),
        np.array([0]),
        weight=np.float32([1]),
        prior=np.float32([0]),
        target=np.float32([np.nan]),
        role=np.int8([2]),
    )
    graph = to_heterograph({"audio": 1, "text": 1}, {INTER: [table]})
    types = {name: value.dtype for name, value in graph.edges[INTER].data.items()}
    assert types == {
        "weight": torch.float32,
        "prior": torch.float32,
        "target": torch.float32,
        "role": torch.int8,
    }


def test_self_loops_only_and_isolated_nodes_are_legal() -> None:
    graph = to_heterograph({"audio": 3, "text": 2}, {INTRA: [loops(0, 2)]})
    assert graph.in_degrees(etype=INTRA).tolist() == [1, 0, 1]
    assert graph.num_nodes("text") == 2


@pytest.mark.parametrize("bad", [-1, 3, 2**40])
def test_ids_are_checked_before_dgl_sees_them(bad: int) -> None:
    with pytest.raises(InputError, match=rf"audio\.intra\.audio: column 'src', row \d: id {bad}"):
        to_heterograph({"audio": 3}, {INTRA: [loops(1, bad)]})
    with pytest.raises(ArtifactCorruptError, match=f"id {bad}"):
        from_tables({"audio": 3}, {INTRA: [loops(1, bad).to_arrow()]})


def test_node_types_and_columns_are_checked() -> None:
    with pytest.raises(InputError, match="no nodes of type 'audio'"):
        to_heterograph({"text": 3}, {INTRA: [loops(1)]})
    with pytest.raises(InputError, match=r"audio\.inter\.text: columns \['weight'\]"):
        to_heterograph({"audio": 3, "text": 3}, {INTER: [loops(1)]})


def test_parts_are_joined_and_their_order_is_checked() -> None:
    parts = [loops(0, 1), loops(), loops(3)]
    whole = to_heterograph({"audio": 5}, {INTRA: [loops(0, 1, 3)]})
    joined = to_heterograph({"audio": 5}, {INTRA: parts})
    assert from_heterograph(joined) == from_heterograph(whole)
    with pytest.raises(InputError, match=r"audio\.intra\.audio, after 2 rows: .* not sorted"):
        to_heterograph({"audio": 5}, {INTRA: [loops(0, 3), loops(3, 4)]})
    bad = [loops(0, 1).to_arrow(), loops(2, 9).to_arrow()]
    with pytest.raises(ArtifactCorruptError, match="after 2 rows: column 'src', row 1: id 9"):
        from_tables({"audio": 5}, {INTRA: bad})


def test_import_is_silent_and_writes_nothing_at_home(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "DGLBACKEND"}
    environment["HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "import rrnet_cli.graphs.hetero"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert not list(tmp_path.rglob("config.json"))
