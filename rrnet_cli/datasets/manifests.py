"""Tables of the user's own: path, label and, where wanted, split, fold or group of each file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.files import printable
from rrnet_cli.datasets.splits import ROLE_WORDS, Catalogue
from rrnet_cli.errors import InputError

COLUMNS: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name", "filepath"),
    "label": ("label", "category", "class", "class_name"),
    "split": ("split", "subset", "set"),
    "fold": ("fold",),
    "group": ("group", "src_file"),
}
"""What each column may be called, in any case."""

FILE_NAMES = tuple(
    stem + suffix for stem in ("manifest", "metadata", "labels") for suffix in (".csv", ".parquet")
)


@dataclass(frozen=True)
class Rows:
    """A table as text.

    Attributes:
        file: Where it was read from.
        columns: Column name as in the file to its values; missing values are empty strings.
        lines: Line in the file (CSV) or row number from 1 (Parquet), for messages.
    """

    file: Path
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]

    def at(self, row: int) -> str:
        """Where a row stands, for messages."""
        unit = "row" if self.file.suffix == ".parquet" else "line"
        return f"{printable(self.file.name)}, {unit} {self.lines[row]}"


def read_rows(file: Path) -> Rows:
    """Read a CSV (UTF-8, comma or semicolon or tab, first line names) or a Parquet table.

    Raises:
        InputError: Not such a table, or without rows.
    """
    rows = _read_parquet(file) if file.suffix.lower() == ".parquet" else _read_csv(file)
    if not rows.lines:
        raise InputError(f"{printable(file.name)} has no rows")
    return rows


def _read_csv(file: Path) -> Rows:
    name = printable(file.name)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            delimiter = max(",;\t", key=first.count)
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            if not header or len(set(header)) < len(header):
                raise InputError(f"{name} has no header, or names a column twice")
            cells: list[list[str]] = []
            lines: list[int] = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise InputError(
                        f"{name}, line {reader.line_num} has {len(row)} cells, "
                        f"its header {len(header)}"
                    )
                cells.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text", "save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{name} is not well-formed CSV: {error}") from error
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    columns = {key: [row[i] for row in cells] for i, key in enumerate(header)}
    return Rows(file, columns, lines)


def _read_parquet(file: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            keep = [
                f.name for f in parquet.schema_arrow
                if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
                or pa.types.is_integer(f.type) or pa.types.is_dictionary(f.type)
            ]  # fmt: skip
            table = parquet.read(columns=keep)
            columns = {
                key: ["" if v is None else str(v).strip() for v in table[key].to_pylist()]
                for key in keep
            }
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{printable(file.name)} is no readable Parquet table") from error
    return Rows(file, columns, range(1, table.num_rows + 1))


def named_columns(rows: Rows, required: Sequence[str]) -> dict[str, Sequence[str]]:
    """The columns of `COLUMNS` that the table has, by our names.

    Raises:
        InputError: A required one is missing; names what was found and expected.
    """
    by_lower = {key.lower(): key for key in rows.columns}
    found: dict[str, Sequence[str]] = {}
    for ours, theirs in COLUMNS.items():
        for candidate in theirs:
            if candidate in by_lower:
                found[ours] = rows.columns[by_lower[candidate]]
                break
    for ours in required:
        if ours not in found:
            raise InputError(
                f"{printable(rows.file.name)} has no column '{ours}': "
                f"it has {', '.join(rows.columns) or 'none of text'}; "
                f"expected are path and label, and optionally split, fold and group",
                f"add the column, or call it one of: {', '.join(COLUMNS[ours])}",
            )
    return found


def find_table(data: Path) -> Path:
    """The manifest that the user means: the file, or the one known name in the folder.

    Raises:
        InputError: None, or more than one.
    """
    if data.is_file():
        return data
    found = [data / name for name in FILE_NAMES if (data / name).is_file()]
    if len(found) != 1:
        have = " and ".join(p.name for p in found) or "none of " + ", ".join(FILE_NAMES)
        raise InputError(f"{printable(data.name)} holds {have}", "name the table with --data")
    return found[0]


def read_manifest(file: Path) -> Catalogue:
    """A manifest as a catalogue; ids are the paths as given, POSIX.

    Raises:
        InputError: A missing column or cell, a path twice or outside the table's folder, an
            unknown split, a fold that is no positive number.
    """
    rows = read_rows(file)
    columns = named_columns(rows, ("path", "label"))
    for key, values in columns.items():
        if "" in values:
            raise InputError(f"{rows.at(list(values).index(''))} has no {key}")
    ids = [_inside(path, row, rows) for row, path in enumerate(columns["path"])]
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name in first:
            raise InputError(
                f"{rows.at(row)} repeats {name} of line {rows.lines[first[name]]}",
                "one row a file, so that it cannot be in two splits",
            )
        first[name] = row
    labels, class_names = encode_labels(columns["label"], rows.file.name)
    return Catalogue(
        where=printable(file.name),
        ids=tuple(ids),
        labels=labels,
        class_names=class_names,
        given=_splits(columns["split"], rows) if "split" in columns else None,
        folds=encode_folds(columns["fold"], rows) if "fold" in columns else None,
        groups=encode_groups(columns["group"]) if "group" in columns else None,
    )


def _inside(path: str, row: int, rows: Rows) -> str:
    """Normalise a path of the table; `..` or an absolute path elsewhere is refused."""
    root = rows.file.parent
    parts = path.replace("\\", "/")
    full = Path(parts)
    if full.is_absolute() and full.is_relative_to(root):
        full = full.relative_to(root)
    if full.is_absolute() or ".." in full.parts or "\0" in parts or not full.parts:
        raise InputError(
            f"{rows.at(row)}: {printable(path)!r} does not lie below the table's folder",
            "write paths relative to the folder of the table",
        )
    return full.as_posix()


def as_words(name: str) -> str:
    """A class name as words: ``clock_tick`` is ``clock tick``."""
    return " ".join(name.replace("_", " ").split())


def encode_labels(values: Sequence[str], where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number class names in ascending order (numeric where all are integers).

    Returns:
        (n,) int64 labels, and the names as words.

    Raises:
        InputError: Two names are the same words.
    """
    distinct = sorted(set(values))
    if all(value.isascii() and value.isdigit() for value in distinct):
        distinct.sort(key=int)
    names = tuple(as_words(value) for value in distinct)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{printable(where)} writes the class '{twice}' in two ways")
    index = {value: number for number, value in enumerate(distinct)}
    return np.array([index[value] for value in values], dtype=np.int64), names


def encode_groups(values: Sequence[str]) -> NDArray[np.int64]:
    """(n,) int64 number of each group, by ascending name."""
    numbers: NDArray[np.int64] = np.unique(np.array(values), return_inverse=True)[1]
    return numbers.astype(np.int64, copy=False)


def _splits(values: Sequence[str], rows: Rows) -> NDArray[np.int8]:
    roles = [ROLE_WORDS.get(value.lower(), -1) for value in values]
    if -1 in roles:
        row = roles.index(-1)
        raise InputError(
            f"{rows.at(row)}: unknown split {printable(values[row])!r}",
            "splits are train, val and test",
        )
    return np.array(roles, dtype=np.int8)


def encode_folds(values: Sequence[str], rows: Rows) -> NDArray[np.int64]:
    """(n,) int64 fold numbers.

    Raises:
        InputError: One is no positive number.
    """
    for row, value in enumerate(values):
        if not (value.isascii() and value.isdigit() and 0 < int(value) < 10**6):
            raise InputError(f"{rows.at(row)}: {printable(value)!r} is no fold (1, 2, …)")
    return np.array([int(value) for value in values], dtype=np.int64)
