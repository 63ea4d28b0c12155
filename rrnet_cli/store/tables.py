"""Tables as Parquet: flat columns without nulls, page checksums written and verified.

Arrow finds no flipped bit unless page checksums are both written and asked for, and a file of 16 kB
can claim 50 million rows; so the footer is compared with the manifest before any column is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrnet_cli.store.manifest import FileRecord

if TYPE_CHECKING:
    import pyarrow

MAX_TABLE_BYTES = 4 * 2**30
"""Larger tables are to be sharded; no file may make a reader allocate more."""

_WIDTHS = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float": 4,
    "double": 8,
    "string": 8,
}
"""The column types there may be, by Arrow's names, and the bytes a row that they take at least."""


def write_table(path: Path, table: pyarrow.Table) -> dict[str, Any]:
    """Write a new Parquet file.

    Returns:
        The fields `rows` and `columns` of its `FileRecord`.

    Raises:
        ValueError: A nested, dictionary, extension or null column, a null, two columns of one
            name, or more than `MAX_TABLE_BYTES`.
        OSError: From the disk.
    """
    import pyarrow.parquet as parquet

    table = table.replace_schema_metadata(None)
    columns = _columns(table.schema)
    _check_shape(table.num_rows, columns)
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            raise ValueError(f"column {name!r} has {column.null_count:,} nulls; store NaN instead")
    with path.open("xb") as file:
        parquet.write_table(
            table, file, compression="zstd", write_page_checksum=True, store_schema=False
        )
    return {"rows": table.num_rows, "columns": columns}


def read_table(
    data: bytes, record: FileRecord, columns: Sequence[str] | None = None
) -> pyarrow.Table:
    """Parse a Parquet file whose footer has to agree with the manifest's record.

    Args:
        data: The file.
        record: What it has to be.
        columns: Only these; None for all.

    Raises:
        ValueError: It is no Parquet file, disagrees with the record, or a page is damaged.
        MemoryError: It is sound but does not fit.
    """
    import pyarrow

    with _sound():
        file = _open(pyarrow.BufferReader(data), record)
        # In this thread: one of Arrow's may still hold `data` when the interpreter ends, and a
        # process whose last act was to read a table would abort then.
        return file.read(columns=None if columns is None else list(columns), use_threads=False)


def read_parts(path: Path, record: FileRecord) -> Iterator[pyarrow.Table]:
    """Parse a Parquet file one row group after the other; each is about a million rows.

    Raises:
        ValueError, MemoryError: As `read_table`.
    """
    with _sound(), path.open("rb") as source:
        file = _open(source, record)
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, use_threads=False)


@contextmanager
def _sound() -> Iterator[None]:
    """Say of what Arrow refuses that it is no sound Parquet."""
    import pyarrow

    try:
        yield
    except MemoryError:  # Arrow's own is one too
        raise
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"not sound Parquet: {error}") from error


def _open(source: Any, record: FileRecord) -> Any:
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(source, page_checksum_verification=True)
    _check_footer(file, record)
    return file


def check_table(data: bytes, record: FileRecord) -> None:
    """Compare a Parquet file's footer with its record without reading a column.

    Raises:
        ValueError: They disagree.
    """
    read_table(data, record, columns=())


def _check_footer(file: Any, record: FileRecord) -> None:
    rows, width = file.metadata.num_rows, file.metadata.num_columns
    recorded = record.columns or ()
    if rows != record.rows or width != len(recorded):
        raise ValueError(
            f"{rows:,} rows of {width} columns, its manifest says {record.rows} of {len(recorded)}"
        )
    groups = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
    if sum(groups) != rows or any(group < 0 for group in groups):
        raise ValueError(f"row groups of {sum(groups):,} rows in a table of {rows:,}")
    columns = _columns(file.schema_arrow)
    if columns != recorded:
        raise ValueError(f"columns {columns}, its manifest says {recorded}")
    _check_shape(rows, columns)


def _columns(schema: pyarrow.Schema) -> tuple[tuple[str, str], ...]:
    columns = tuple((field.name, str(field.type)) for field in schema)
    if len({name for name, _ in columns}) != len(columns):
        raise ValueError("two columns of one name")
    for name, kind in columns:
        if kind not in _WIDTHS:
            raise ValueError(f"column {name!r} is of type {kind}; only flat columns are stored")
    return columns


def _check_shape(rows: int, columns: tuple[tuple[str, str], ...]) -> None:
    size = rows * sum(_WIDTHS[kind] for _, kind in columns)
    if size > MAX_TABLE_BYTES:
        raise ValueError(f"{rows:,} rows take {size:,} bytes, more than {MAX_TABLE_BYTES:,}")
