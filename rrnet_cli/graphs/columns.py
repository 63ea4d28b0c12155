"""Arrow columns to arrays of exactly one type, refusing everything else by column and row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import InputError, RRNetError

if TYPE_CHECKING:
    import pyarrow as pa

EDGE_ROLES = ("fit", "select", "test", "hold", "none")
"""Names of the int8 role codes 0..4; the first four are those of `datasets.base`, ``none`` is a
pair that nobody rated."""
FIT, SELECT, TEST, HOLD, NONE = range(5)

Type = Literal["int64", "float", "string", "role"]
"""Arrow's name of a column's type; ``role`` is a string column read as int8 codes."""


def read_columns(
    table: pa.Table,
    types: Mapping[str, Type],
    *,
    where: str,
    error: type[RRNetError] = InputError,
    exact: bool = False,
) -> dict[str, NDArray[Any]]:
    """Columns of a table as arrays: int64, float32, int8 for roles, object for strings.

    Args:
        table: Any flat table.
        types: Names and types of the columns to read.
        where: Name of the file, for messages.
        error: What to raise: `ArtifactCorruptError` for what an artifact promises.
        exact: Whether further columns are refused.

    Raises:
        RRNetError: `error`: a column missing, there twice, of another type, with a null or an
            unknown role, or not expected; names it and, where one is at fault, the first row.
    """
    found = table.column_names
    for name in types:
        if found.count(name) != 1:
            fault = "missing" if name not in found else "there twice"
            raise error(f"{where}: column {name!r} is {fault}")
    for name in found:
        if exact and name not in types:
            raise error(f"{where}: column {name!r} is not expected")
    return {
        name: _values(table.column(name), kind, f"{where}: column {name!r}", error)
        for name, kind in types.items()
    }


def _values(
    column: pa.ChunkedArray, kind: Type, what: str, error: type[RRNetError]
) -> NDArray[Any]:
    import pyarrow.compute as pc

    wanted = "string" if kind == "role" else kind
    if str(column.type) != wanted:
        raise error(f"{what} is {column.type}, not {wanted}")
    if column.null_count:
        raise error(f"{what}, row {pc.index(column.is_null(), True).as_py()}: null")
    if kind == "role":
        return _role_codes(column, what, error)
    return np.ascontiguousarray(column.to_numpy())


def _role_codes(column: pa.ChunkedArray, what: str, error: type[RRNetError]) -> NDArray[np.int8]:
    import pyarrow as pa
    import pyarrow.compute as pc

    codes = pc.index_in(column, value_set=pa.array(EDGE_ROLES, pa.string()))
    if codes.null_count:
        row = pc.index(codes.is_null(), True).as_py()
        raise error(f"{what}, row {row}: {column[row].as_py()!r} is no role")
    return codes.to_numpy().astype(np.int8)


def role_names(codes: NDArray[np.int8]) -> pa.Array:
    """Role codes as the strings that are stored."""
    import pyarrow as pa

    return pa.array(EDGE_ROLES, pa.string()).take(pa.array(codes))
