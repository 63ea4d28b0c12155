"""Rating and trust files as raw triples: text, CSV, Parquet, and Ciao's MATLAB files."""

from __future__ import annotations

import csv
import math
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.files import printable
from rrnet_cli.errors import InputError

USER = ("user", "userid", "user_id", "uid", "user id", "truster", "trustor", "source", "src")
ITEM = ("item", "itemid", "item_id", "iid", "movieid", "movie_id", "item id", "trustee", "target",
        "dst", "bookid", "book_id", "productid", "product_id")  # fmt: skip
VALUE = ("rating", "score", "stars", "value", "weight", "trust")
MAX_MAT_BYTES = 2**30


@dataclass(frozen=True)
class Triples:
    """Rows of (first id, second id, value) with ids numbered in order of appearance.

    Attributes:
        file: Where they were read from.
        unit: ``line`` or ``row``: what `at` counts.
        first_ids, second_ids: The raw ids as text.
        first, second: (n,) int64 into them.
        value: (n,) float64, finite.
        at: (n,) int64 place of each in the file, from 1.
    """

    file: Path
    unit: str
    first_ids: Sequence[str]
    second_ids: Sequence[str]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    value: NDArray[np.float64]
    at: NDArray[np.int64]

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{printable(self.file.name)}, {self.unit} {self.at[row]}"


def read_triples(file: Path, *, value_optional: bool = False) -> Triples:
    """Read `first second value …` from Parquet, CSV or text.

    Text may be separated by blanks, tabs, commas, semicolons or ``::``. A first line that names
    the columns is understood; lines that start with # or % and empty lines are passed over;
    columns after the third (a time, say) are not read.

    Args:
        file: The file.
        value_optional: Two columns are enough; the value is then 1.

    Raises:
        InputError: Not such a file, or a cell that is missing or no finite number; names the line.
    """
    if file.suffix.lower() == ".parquet":
        return _collect(file, "row", _parquet_rows(file, value_optional))
    return _collect(file, "line", _text_rows(file, value_optional))


def _collect(file: Path, unit: str, rows: Iterable[tuple[int, str, str, float]]) -> Triples:
    first_index: dict[str, int] = {}
    second_index: dict[str, int] = {}
    first, second, at = array("q"), array("q"), array("q")
    value = array("d")
    try:
        for place, left, right, number in rows:
            if not left or not right:
                raise InputError(f"{printable(file.name)}, {unit} {place} has an empty id")
            first.append(first_index.setdefault(left, len(first_index)))
            second.append(second_index.setdefault(right, len(second_index)))
            value.append(number)
            at.append(place)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{printable(file.name)} is not UTF-8 text", "name the ratings file with --data"
        ) from error
    except csv.Error as error:
        raise InputError(f"{printable(file.name)} is not well-formed CSV: {error}") from error
    except OSError as error:
        raise InputError(f"{printable(file.name)} cannot be read: {error.strerror}") from error
    return Triples(
        file,
        unit,
        tuple(first_index),
        tuple(second_index),
        np.array(first, dtype=np.int64),
        np.array(second, dtype=np.int64),
        np.array(value, dtype=np.float64),
        np.array(at, dtype=np.int64),
    )


def _text_rows(file: Path, value_optional: bool) -> Iterator[tuple[int, str, str, float]]:
    name = printable(file.name)
    columns: tuple[int, int, int | None] | None = None
    width = 0
    with file.open(encoding="utf-8-sig", newline="") as stream:
        for line, cells in _cells(stream):
            if columns is None:
                width = len(cells)
                columns, is_header = _layout(cells, f"{name}, line {line}", value_optional)
                if is_header:
                    continue
            if len(cells) != width:
                raise InputError(
                    f"{name}, line {line} has {len(cells)} columns, the first {width}",
                    "each line is: user item rating [time]",
                )
            left, right, third = columns
            number = 1.0 if third is None else _number(cells[third], f"{name}, line {line}")
            yield line, cells[left], cells[right], number


def _cells(stream: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and stripped cells; the separator is that of the first line with content."""
    lines = enumerate(stream, start=1)
    separator: str | None = ""
    for number, line in lines:
        text = line.strip()
        if not text or text[0] in "#%":
            continue
        if separator == "":
            separator = next((s for s in ("::", "\t", ",", ";") if s in text), None)
        if separator == "," and '"' in text:
            cells = next(csv.reader([text], strict=True))
        else:
            cells = text.split(separator)
        yield number, [cell.strip() for cell in cells]


def _layout(
    cells: list[str], place: str, value_optional: bool
) -> tuple[tuple[int, int, int | None], bool]:
    """Which columns hold what, and whether `cells` is a header."""
    lower = [cell.lower().strip('"') for cell in cells]
    user, item, value = (
        next((i for i, cell in enumerate(lower) if cell in names), None)
        for names in (USER, ITEM, VALUE)
    )
    if user is not None or item is not None:
        if user is None or item is None or (value is None and not value_optional):
            raise InputError(
                f"{place} names the columns {', '.join(cells)}; expected are user, item and rating",
                "rename the columns",
            )
        return (user, item, value), True
    if len(cells) < (2 if value_optional else 3):
        raise InputError(
            f"{place} has {len(cells)} columns; expected are user, item and rating",
            "separate them by blanks, tabs, commas or '::'",
        )
    return (0, 1, 2 if len(cells) > 2 else None), False


def _number(cell: str, place: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        what = f"{printable(cell)!r} where a number belongs" if cell else "no rating"
        raise InputError(f"{place} has {what}", "mend or remove the line") from None
    if not math.isfinite(number):
        raise InputError(f"{place} has the value {cell}, which is no finite number")
    return number


def _parquet_rows(file: Path, value_optional: bool) -> Iterator[tuple[int, str, str, float]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = printable(file.name)
    try:
        with pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            (left, right, third), named = _layout(list(names), name, value_optional)
            if not named:
                raise InputError(
                    f"{name} has the columns {', '.join(names)}; "
                    "expected are user, item and rating",
                    "rename the columns",
                )
            keep = [names[i] for i in (left, right, third) if i is not None]
            row = 0
            for batch in parquet.iter_batches(65_536, columns=keep):
                columns = [batch.column(key).to_pylist() for key in keep]
                for cells in zip(*columns, strict=True):
                    row += 1
                    place = f"{name}, row {row}"
                    number = _number(_text(cells[2], place), place) if len(cells) > 2 else 1.0
                    yield row, _text(cells[0], place), _text(cells[1], place), number
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} is no readable Parquet table: {error}") from error


def _text(cell: Any, place: str) -> str:
    if cell is None:
        raise InputError(f"{place} has a missing value", "mend or remove the row")
    return str(cell)


def read_mat(file: Path, variable: str, columns: tuple[int, int, int | None]) -> Triples:
    """One matrix of a MATLAB file, as distributed for Ciao and Epinions.

    Args:
        file: The file, of MATLAB 5 to 7 (not 7.3, which is HDF5).
        variable: The matrix, (n, at least as many columns as are used).
        columns: Which hold first id, second id and value (none: 1).

    Raises:
        InputError: Not such a file, or values that are no finite numbers; ids must be integers.
    """
    import scipy.io

    name = printable(file.name)
    try:
        # Only `variable` is decompressed and parsed.
        sizes = {key: shape for key, shape, _ in scipy.io.whosmat(file)}
        if variable not in sizes:
            have = ", ".join(sizes) or "nothing"
            raise InputError(f"{name} holds {have}, but no matrix '{variable}'")
        if math.prod(sizes[variable]) * 8 > MAX_MAT_BYTES:
            raise InputError(f"{name}: the matrix '{variable}' claims {sizes[variable]} values")
        matrix = scipy.io.loadmat(file, variable_names=[variable])[variable]
    except InputError:
        raise
    except (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError,
            OverflowError, EOFError, AttributeError, MemoryError, struct.error, zlib.error,
            scipy.io.matlab.MatReadError) as error:  # fmt: skip
        raise InputError(
            f"{name} is no MATLAB 5 file: {error}", "name Ciao's folder with its .mat files"
        ) from error
    width = max(c for c in columns if c is not None) + 1
    if not isinstance(matrix, np.ndarray):
        raise InputError(f"{name}: '{variable}' is no plain matrix")
    if matrix.ndim != 2 or matrix.shape[1] < width or matrix.dtype.kind not in "iuf":
        raise InputError(
            f"{name}: '{variable}' is {matrix.dtype} of shape {matrix.shape}; "
            f"expected are numbers in {width} or more columns"
        )
    matrix = matrix.astype(np.float64)
    left, right, third = columns
    ids = matrix[:, [left, right]]
    value = np.ones(len(matrix)) if third is None else matrix[:, third]
    bad = np.flatnonzero(~np.isfinite(value) | (ids != np.rint(ids)).any(axis=1))
    if len(bad):
        raise InputError(f"{name}, row {bad[0] + 1} has a value that is no finite number or id")
    first_ids, first = np.unique(ids[:, 0].astype(np.int64), return_inverse=True)
    second_ids, second = np.unique(ids[:, 1].astype(np.int64), return_inverse=True)
    at = np.arange(1, len(matrix) + 1)
    return Triples(
        file, "row", [str(i) for i in first_ids.tolist()], [str(i) for i in second_ids.tolist()],
        first.astype(np.int64), second.astype(np.int64), value, at,
    )  # fmt: skip
