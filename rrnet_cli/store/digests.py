"""Canonical JSON, sha256, and the fingerprint of raw data: what versions are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from rrnet_cli.errors import InputError

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

MAX_DEPTH = 32
_SAY_SO_ABOVE = 256 * 2**20


def canonical_json(value: object) -> str:
    """Render `value` in the one form that digests are taken over.

    Keys sorted, no blanks, ASCII only; tuples are lists.

    Raises:
        ValueError: A NaN or infinity, a key that is no string, or nesting beyond `MAX_DEPTH`.
        TypeError: A value that JSON does not have.
    """
    check_json(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def pretty_json(value: object) -> str:
    """Render `value` for people: as canonical, but indented and with a final newline."""
    check_json(value)
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n"


def check_json(value: object) -> None:
    """Refuse what `json.dumps` would quietly bend: keys that are no strings, bottomless nesting.

    Raises:
        ValueError: See `canonical_json`.
    """
    pending: list[tuple[object, int]] = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"JSON is nested deeper than {MAX_DEPTH} levels")
        if isinstance(item, Mapping):
            for key in item:
                if not isinstance(key, str):  # json.dumps would make "1" of 1: two keys, one digest
                    raise ValueError(f"JSON key {key!r} is no string")
            pending.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list | tuple):
            pending.extend((child, depth + 1) for child in item)


def parse_json(data: bytes) -> Any:
    """Parse strict JSON: UTF-8, no NaN, no key given twice, nesting bounded.

    Raises:
        ValueError: Anything else (`json.JSONDecodeError` and `UnicodeDecodeError` are such).
    """
    try:
        value = json.loads(
            data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_distinct
        )
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    check_json(value)
    return value


def digest_json(value: object) -> str:
    """Return the sha256 of `value`'s canonical JSON as 64 hex digits."""
    return sha256(canonical_json(value).encode())


def sha256(data: bytes) -> str:
    """Return the sha256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Fingerprint:
    """The content of the raw files that a stage read, whatever folder they lie in.

    Attributes:
        files: How many.
        bytes: Their sizes added up.
        digest: sha256 over names relative to the data root, sizes and contents.
    """

    files: int
    bytes: int
    digest: str


def fingerprint(
    root: Path, files: Sequence[Path], note: Callable[[str], None] | None = None
) -> Fingerprint:
    """Digest raw data; the root's own path, modification times and order do not enter.

    Args:
        root: Folder that names are taken relative to.
        files: Files below `root`.
        note: Told in one line when there is so much to read that it takes a while.

    Raises:
        InputError: A file cannot be read, or lies outside `root`.
    """
    named = sorted({_relative_name(root, file): file for file in files}.items())
    total = sum(_size(file) for _, file in named)
    if note is not None and total > _SAY_SO_ABOVE:
        note(f"reading {len(named):,} files ({total / 2**30:.1f} GiB) for their digest")
    entries = list(_entries(named))
    return Fingerprint(len(entries), sum(size for _, size, _ in entries), digest_json(entries))


def _entries(named: Sequence[tuple[str, Path]]) -> Iterator[tuple[str, int, str]]:
    for name, path in named:
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                yield name, file.tell(), digest
        except OSError as error:
            raise _unreadable(path, error) from error


def _relative_name(root: Path, file: Path) -> str:
    try:
        return file.relative_to(root).as_posix()
    except ValueError:
        raise InputError(f"{file} is not below the data folder {root}") from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot read {path}: {error.strerror}", "check the path and its permissions")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("JSON object has a key twice")
    return mapping
