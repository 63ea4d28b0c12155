"""Edge tables: the sorted, checked columns that graphs are built from and stored as.

An edge type is written ``<source>.intra|inter.<destination>``, e.g. ``audio.inter.text``. Its table
has exactly the columns of `INTRA_COLUMNS` or `INTER_COLUMNS`, rows sorted by ``dst`` then ``src``,
no pair twice. Edge attributes of paper Sec. III-B are concatenations of endpoint attributes: they
are defined, never stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import InputError, RRNetError
from rrnet_cli.graphs.columns import (
    EDGE_ROLES,
    FIT,
    HOLD,
    NONE,
    SELECT,
    TEST,
    Type,
    read_columns,
    role_names,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "EDGE_ROLES",
    "FIT",
    "HOLD",
    "INTER_COLUMNS",
    "INTRA_COLUMNS",
    "NONE",
    "SELECT",
    "TEST",
    "EdgeTable",
    "EdgeType",
    "columns_of",
    "edge_key",
    "parse_edge_key",
]

EdgeType = tuple[str, str, str]
"""Canonical edge type: source node type, ``intra`` or ``inter``, destination node type."""

INTRA_COLUMNS = ("weight",)
INTER_COLUMNS = ("weight", "prior", "target", "role")
DTYPES: dict[str, Any] = {
    "src": np.int64,
    "dst": np.int64,
    "weight": np.float32,
    "prior": np.float32,
    "target": np.float32,
    "role": np.int8,
}
ARROW_TYPES: dict[str, Type] = {
    "src": "int64",
    "dst": "int64",
    "weight": "float",
    "prior": "float",
    "target": "float",
    "role": "role",
}

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def edge_key(edge_type: EdgeType) -> str:
    """The name of an edge type in files and summaries, e.g. ``audio.inter.text``."""
    return ".".join(edge_type)


def parse_edge_key(key: str) -> EdgeType:
    """The edge type named `key`.

    Raises:
        InputError: `key` is not ``<source>.intra|inter.<destination>``.
    """
    parts = key.split(".")
    if len(parts) != 3 or parts[1] not in ("intra", "inter"):
        raise InputError(f"{key!r} is no edge type", "Expected <source>.intra|inter.<destination>.")
    if not (_NAME.fullmatch(parts[0]) and _NAME.fullmatch(parts[2])):
        raise InputError(f"{key!r} is no edge type", "Node types are lower-case words.")
    return parts[0], parts[1], parts[2]


def columns_of(edge_type: EdgeType) -> tuple[str, ...]:
    """Attribute columns that a table of this edge type has, in stored order."""
    return INTRA_COLUMNS if edge_type[1] == "intra" else INTER_COLUMNS


@dataclass(frozen=True, eq=False)
class EdgeTable:
    """Edges of one type, sorted by destination then source, no pair twice.

    Make one with `EdgeTable.build`, which sorts; the constructor only checks.

    Attributes:
        src: (num_edges,) int64 sender nodes.
        dst: (num_edges,) int64 receiver nodes.
        attributes: (num_edges,) float32 ``weight`` (finite); for inter-edges also ``prior``
            (finite), ``target`` (NaN where it is unknown or withheld) and int8 ``role``.

    Raises:
        InputError: A column breaks these rules; names the column and the first row.
    """

    src: NDArray[np.int64]
    dst: NDArray[np.int64]
    attributes: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))
        check_columns(self.src, self.dst, self.attributes)
        _check_order(self.src, self.dst)

    @classmethod
    def build(
        cls, src: NDArray[np.int64], dst: NDArray[np.int64], **attributes: NDArray[Any]
    ) -> EdgeTable:
        """Sort columns given in any order and check them.

        Raises:
            InputError: As the class; rows are counted in the order given.
        """
        check_columns(src, dst, attributes)
        if _first_unordered(src, dst) is not None:
            order = np.lexsort((src, dst))
            src_sorted, dst_sorted = src[order], dst[order]
            same = (src_sorted[1:] == src_sorted[:-1]) & (dst_sorted[1:] == dst_sorted[:-1])
            if same.any():
                _refuse_duplicate(int(order[1:][same].min()), src, dst)
            src, dst = src_sorted, dst_sorted
            attributes = {name: values[order] for name, values in attributes.items()}
        return cls(src, dst, attributes)

    def __len__(self) -> int:
        return len(self.src)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.attributes[name]

    def __eq__(self, other: object) -> bool:
        """Equal bit for bit: the same columns of the same values, NaN equal to NaN."""
        if not isinstance(other, EdgeTable):
            return NotImplemented
        mine, theirs = self.columns(), other.columns()
        return list(mine) == list(theirs) and all(
            mine[name].tobytes() == theirs[name].tobytes() for name in mine
        )

    __hash__ = None  # type: ignore[assignment]  # arrays can change

    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns by name: ``src``, ``dst``, then the attributes in stored order."""
        order = [name for name in INTER_COLUMNS if name in self.attributes]
        return {"src": self.src, "dst": self.dst} | {name: self.attributes[name] for name in order}

    def check_ids(self, num_src: int, num_dst: int, *, where: str = "edges") -> None:
        """Check that every id names a node (DGL itself accepts negative ids silently).

        Raises:
            InputError: Names the column and the first row outside the range.
        """
        for name, ids, count in (("src", self.src, num_src), ("dst", self.dst, num_dst)):
            bad = (ids < 0) | (ids >= count)
            if bad.any():
                row = int(bad.argmax())
                raise InputError(
                    f"{where}: column {name!r}, row {row}: id {ids[row]} is not in 0..{count - 1}"
                )

    def to_arrow(self) -> pa.Table:
        """The table as it is stored; roles by name."""
        import pyarrow as pa

        columns: dict[str, Any] = dict(self.columns())
        if "role" in columns:
            columns["role"] = role_names(columns["role"])
        return pa.table({name: pa.array(values) for name, values in columns.items()})

    @classmethod
    def from_arrow(
        cls,
        table: pa.Table,
        edge_type: EdgeType,
        *,
        error: type[RRNetError] = InputError,
        where: str | None = None,
    ) -> EdgeTable:
        """Read a stored table, refusing anything that `to_arrow` would not have written.

        Args:
            table: Columns exactly ``src``, ``dst`` and those of the edge type, sorted.
            edge_type: Decides which columns there must be.
            error: What to raise: `ArtifactCorruptError` for what an artifact holds.
            where: Name of the file in messages; the edge type's name when not given.

        Raises:
            RRNetError: `error`, naming the file, the column and the first offending row.
        """
        where = where or edge_key(edge_type)
        types: dict[str, Type] = {
            name: ARROW_TYPES[name] for name in ("src", "dst", *columns_of(edge_type))
        }
        columns = read_columns(table, types, where=where, error=error, exact=True)
        try:
            return cls(columns.pop("src"), columns.pop("dst"), columns)
        except InputError as broken:
            raise error(f"{where}: {broken.message}", broken.hint) from None


def check_columns(
    src: NDArray[Any], dst: NDArray[Any], attributes: Mapping[str, NDArray[Any]]
) -> None:
    """Check types, lengths and values of edge columns in any order.

    Raises:
        InputError: Names the column and, where one is at fault, the first row.
    """
    for name, values in {"src": src, "dst": dst, **attributes}.items():
        if name not in DTYPES:
            raise InputError(f"column {name!r} is not known")
        if values.dtype != DTYPES[name]:
            wanted = np.dtype(DTYPES[name])
            raise InputError(f"column {name!r} is {values.dtype}, not {wanted}")
        if values.shape != (len(src),):
            raise InputError(f"column {name!r} has shape {values.shape}, not ({len(src)},)")
        if name in ("weight", "prior"):
            _refuse_first(~np.isfinite(values), values, name, "is not finite")
        elif name == "target":
            _refuse_first(np.isinf(values), values, name, "is not finite")
        elif name == "role":
            _refuse_first((values < 0) | (values > NONE), values, name, "is no role")
    if "target" in attributes and "role" in attributes:
        _check_withheld(attributes["target"], attributes["role"])


def _check_withheld(target: NDArray[np.float32], role: NDArray[np.int8]) -> None:
    """Targets of test edges are withheld: a number there would leak what `eval` measures."""
    withheld = np.isin(role, (TEST, NONE))
    _refuse_first(withheld & ~np.isnan(target), target, "target", "is given on a test or none edge")
    _refuse_first(~withheld & np.isnan(target), target, "target", "is missing on a known edge")


def _refuse_first(bad: NDArray[np.bool_], values: NDArray[Any], name: str, complaint: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise InputError(f"column {name!r}, row {row}: {values[row]} {complaint}")


def _first_unordered(src: NDArray[np.int64], dst: NDArray[np.int64]) -> int | None:
    """The first row that does not come strictly after the row before it."""
    after = (dst[1:] > dst[:-1]) | ((dst[1:] == dst[:-1]) & (src[1:] > src[:-1]))
    return None if after.all() else int(after.argmin()) + 1


def _check_order(src: NDArray[np.int64], dst: NDArray[np.int64]) -> None:
    row = _first_unordered(src, dst)
    if row is None:
        return
    if src[row] == src[row - 1] and dst[row] == dst[row - 1]:
        _refuse_duplicate(row, src, dst)
    raise InputError(f"columns 'dst', 'src', row {row}: not sorted by dst then src")


def _refuse_duplicate(row: int, src: NDArray[np.int64], dst: NDArray[np.int64]) -> None:
    raise InputError(
        f"columns 'src', 'dst', row {row}: edge {src[row]} -> {dst[row]} is there twice"
    )
