from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from rrnet_cli.datasets import base
from rrnet_cli.datasets.base import ROLE_NAMES
from rrnet_cli.errors import ArtifactCorruptError, InputError
from rrnet_cli.graphs.edges import (
    EDGE_ROLES,
    HOLD,
    NONE,
    TEST,
    EdgeTable,
    edge_key,
    parse_edge_key,
)
from tests.graphs.strategies import edge_tables

INTRA = ("audio", "intra", "audio")
INTER = ("audio", "inter", "text")


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def weights(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def inter_arrow(**changes: object) -> pa.Table:
    """Three valid inter-edges; a column changed, or with None left out."""
    columns = {
        "src": pa.array([0, 1, 0]),
        "dst": pa.array([0, 0, 1]),
        "weight": pa.array([1, 1, 1], pa.float32()),
        "prior": pa.array([-1, -2, -3], pa.float32()),
        "target": pa.array([1, np.nan, 0], pa.float32()),
        "role": pa.array(["fit", "test", "select"]),
    }
    columns.update(changes)
    return pa.table({name: values for name, values in columns.items() if values is not None})


def test_roles_are_those_of_the_data_sets() -> None:
    assert [*ROLE_NAMES, "none"] == list(EDGE_ROLES)
    assert EDGE_ROLES[NONE] == "none" and EDGE_ROLES[TEST] == "test"
    assert EDGE_ROLES[HOLD] == ROLE_NAMES[base.HOLD] == "hold"


def test_build_sorts_by_destination_then_source() -> None:
    table = EdgeTable.build(ints(2, 0, 1), ints(0, 1, 0), weight=weights(1, 2, 3))
    assert table.src.tolist() == [1, 2, 0]
    assert table.dst.tolist() == [0, 0, 1]
    assert table["weight"].tolist() == [3, 1, 2]


@given(edge_tables(INTER, 5, 4))
def test_arrow_round_trip(table: EdgeTable) -> None:
    assert EdgeTable.from_arrow(table.to_arrow(), INTER) == table


@given(edge_tables(INTRA, 5, 5))
def test_build_is_the_same_in_any_order(table: EdgeTable) -> None:
    order = np.random.default_rng(len(table)).permutation(len(table))
    again = EdgeTable.build(table.src[order], table.dst[order], weight=table["weight"][order])
    assert again == table


def test_parquet_round_trip(tmp_path: Path) -> None:
    table = EdgeTable.from_arrow(inter_arrow(), INTER)
    pq.write_table(table.to_arrow(), tmp_path / "edges.parquet")
    assert EdgeTable.from_arrow(pq.read_table(tmp_path / "edges.parquet"), INTER) == table
    assert table["role"].tolist() == [0, 2, 1]


def test_equality_sees_one_bit() -> None:
    table = EdgeTable.build(ints(0), ints(0), weight=weights(0.0))
    assert table != EdgeTable.build(ints(0), ints(0), weight=weights(-0.0))
    assert table != EdgeTable.build(ints(0), ints(0))
    assert table != "a table"


def test_constructor_refuses_disorder() -> None:
    with pytest.raises(InputError, match="row 2: not sorted"):
        EdgeTable(ints(0, 1, 0), ints(0, 1, 1))
    with pytest.raises(InputError, match="row 1: edge 0 -> 3 is there twice"):
        EdgeTable(ints(0, 0), ints(3, 3))


def test_build_names_the_row_of_a_duplicate_as_given() -> None:
    with pytest.raises(InputError, match="row 2: edge 5 -> 1 is there twice"):
        EdgeTable.build(ints(5, 0, 5, 0), ints(1, 3, 1, 0))


@pytest.mark.parametrize(
    ("src", "columns", "message"),
    [
        (np.array([0, 1], np.int32), {}, "column 'src' is int32, not int64"),
        (np.array([0.0, 1.0]), {}, "column 'src' is float64, not int64"),
        (ints(0), {}, r"column 'dst' has shape \(2,\), not \(1,\)"),
        (ints(0, 1), {"weight": weights(1)}, r"column 'weight' has shape \(1,\)"),
        (ints(0, 1), {"weight": weights(1, np.nan)}, "column 'weight', row 1: nan is not finite"),
        (ints(0, 1), {"prior": weights(-np.inf, 1)}, "column 'prior', row 0: -inf is not finite"),
        (ints(0, 1), {"target": weights(np.nan, np.inf)}, "column 'target', row 1: inf"),
        (ints(0, 1), {"role": np.array([0, 5], np.int8)}, "column 'role', row 1: 5 is no role"),
        (ints(0, 1), {"colour": ints(1, 2)}, "column 'colour' is not known"),
        (
            ints(0, 1),
            {"target": weights(1, 1), "role": np.array([0, 2], np.int8)},
            "column 'target', row 1: 1.0 is given on a test or none edge",
        ),
        (
            ints(0, 1),
            {"target": weights(np.nan, 1), "role": np.array([1, 0], np.int8)},
            "column 'target', row 0: nan is missing on a known edge",
        ),
        (
            ints(0, 1),
            {"target": weights(1, np.nan), "role": np.array([0, HOLD], np.int8)},
            "column 'target', row 1: nan is missing on a known edge",
        ),
        (
            ints(0, 1),
            {"target": weights(np.nan, 0), "role": np.array([TEST, NONE], np.int8)},
            "column 'target', row 1: 0.0 is given on a test or none edge",
        ),
    ],
)
def test_build_refuses(src: np.ndarray, columns: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EdgeTable.build(src, ints(0, 1), **columns)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (ints(0, -1), "column 'src', row 1: id -1"),
        (ints(0, 3), r"column 'src', row 1: id 3 is not in 0\.\.2"),
        (ints(2**40, 0), "column 'src', row 0: id 1099511627776"),
    ],
)
def test_ids_name_a_node(ids: np.ndarray, message: str) -> None:
    table = EdgeTable.build(ids, ints(0, 1), weight=weights(1, 1))
    with pytest.raises(InputError, match=message):
        table.check_ids(3, 2)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (inter_arrow(prior=None), "column 'prior' is missing"),
        (inter_arrow(time=pa.array([1, 2, 3])), "column 'time' is not expected"),
        (inter_arrow(src=pa.array([0, 1, 0], pa.int32())), "column 'src' is int32, not int64"),
        (inter_arrow(dst=pa.array(["0", "0", "1"])), "column 'dst' is string, not int64"),
        (inter_arrow(src=pa.array([0.0, 1, 0])), "column 'src' is double, not int64"),
        (inter_arrow(weight=pa.array([1.0, 1, 1])), "column 'weight' is double, not float"),
        (inter_arrow(role=pa.array([0, 2, 1])), "column 'role' is int64, not string"),
        (inter_arrow(src=pa.array([0, None, 0])), "column 'src', row 1: null"),
        (inter_arrow(role=pa.array(["fit", "test", None])), "column 'role', row 2: null"),
        (inter_arrow(role=pa.array(["fit", "exam", "fit"])), "row 1: 'exam' is no role"),
        (inter_arrow(src=pa.array([1, 0, 0])), "row 1: not sorted"),
        (inter_arrow(src=pa.array([0, 0, 0])), "row 1: edge 0 -> 0 is there twice"),
        (
            inter_arrow(weight=pa.array([1, 1, np.nan], pa.float32())),
            "column 'weight', row 2: nan is not finite",
        ),
        (
            inter_arrow(target=pa.array([1, 0, 0], pa.float32())),
            "column 'target', row 1: 0.0 is given on a test",
        ),
    ],
)
def test_stored_tables_are_checked(table: pa.Table, message: str) -> None:
    with pytest.raises(ArtifactCorruptError, match=message) as caught:
        EdgeTable.from_arrow(table, INTER, error=ArtifactCorruptError, where="x.parquet")
    assert caught.value.message.startswith("x.parquet: ")


def test_double_column() -> None:
    table = inter_arrow().append_column("src", pa.array([0, 1, 0]))
    with pytest.raises(InputError, match="column 'src' is there twice"):
        EdgeTable.from_arrow(table, INTER)


def test_chunked_columns_are_one() -> None:
    parts = [inter_arrow().slice(0, 1), inter_arrow().slice(1)]
    joined = pa.concat_tables(parts)
    assert joined.column("role").num_chunks == 2
    whole = EdgeTable.from_arrow(inter_arrow(), INTER)
    assert EdgeTable.from_arrow(joined, INTER) == whole


def test_edge_keys() -> None:
    assert edge_key(INTER) == "audio.inter.text"
    assert parse_edge_key("audio.inter.text") == INTER


@pytest.mark.parametrize(
    "key", ["audio.text", "a.likes.b", "..", "../x.intra.y", "a.intra.b.c", ".intra.b", "A.intra.b"]
)
def test_bad_edge_keys(key: str) -> None:
    with pytest.raises(InputError, match="is no edge type"):
        parse_edge_key(key)
