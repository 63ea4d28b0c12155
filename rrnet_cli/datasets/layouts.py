"""Layouts of one file an instance: the ESC repository, a folder a class, a manifest.

Each `locate_*` only lists and reads small tables; nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.base import FIT, ROLE_NAMES, OnError, Source
from rrnet_cli.datasets.files import (
    Skips,
    need_folder,
    need_path,
    printable,
    relative_name,
    subfolders,
    walk_files,
)
from rrnet_cli.datasets.manifests import (
    as_words,
    encode_folds,
    encode_groups,
    find_table,
    read_manifest,
    read_rows,
)
from rrnet_cli.datasets.share import Share
from rrnet_cli.datasets.splits import (
    ROLE_WORDS,
    Catalogue,
    assign_roles,
    keep_limit,
)
from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.settings import DataSettings

ESC_COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")


@dataclass(frozen=True)
class Located:
    """A data set of one file an instance, found but not decoded.

    Attributes:
        root: The folder that ids are relative to.
        tables: Files besides the instances that decide the result.
        catalogue: Ids, labels, splits.
        notes: What the user should hear at loading.
        skips: Files left out already.
    """

    root: Path
    tables: tuple[Path, ...]
    catalogue: Catalogue
    notes: tuple[str, ...]
    skips: Skips


@dataclass(frozen=True)
class Plan:
    """The instances to decode: what the split and `limit` chose of a `Located`."""

    located: Located
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    roles: NDArray[np.int8]
    groups: NDArray[np.int64] | None

    @property
    def paths(self) -> list[Path]:
        """The file of each instance."""
        return [self.located.root / name for name in self.ids]

    @property
    def source(self) -> Source:
        """The tables and exactly the files that are decoded."""
        return Source(self.located.root, tuple(sorted((*self.located.tables, *self.paths))))

    def part(self, share: Share | None) -> Plan:
        """The instances of a share; all without one."""
        if share is None:
            return self
        rows = share.rows(len(self.ids))
        groups = None if self.groups is None else self.groups[rows]
        return Plan(self.located, self.ids[rows], self.labels[rows], self.roles[rows], groups)


def make_plan(located: Located, settings: DataSettings) -> Plan:
    """Assign roles, apply `limit`, and drop (or refuse) files that are not there.

    Raises:
        ConfigError: A fold that does not exist.
        InputError: A listed file is missing and the policy is ``fail``.
    """
    catalogue = located.catalogue
    roles = assign_roles(catalogue, settings)
    kept = keep_limit(catalogue.labels, roles, settings.limit, settings.split_seed)
    there = []
    for row in kept.tolist():
        name = catalogue.ids[row]
        if (located.root / name).is_file():
            there.append(row)
            continue
        reason = InputError(
            f"{printable(name)}, listed in {catalogue.where}, is not there",
            "complete the download, or leave such files out: --on-error skip",
        )
        located.skips.add(name, reason)
    rows = np.array(there, dtype=np.int64)
    ids = tuple(catalogue.ids[row] for row in there)
    groups = None if catalogue.groups is None else catalogue.groups[rows]
    return Plan(located, ids, catalogue.labels[rows], roles[rows], groups)


def locate_esc(data: Path | None, settings: DataSettings, on_error: OnError) -> Located:
    """The layout of the ESC-50 repository: `meta/esc50.csv` and `audio/`.

    Clips of one `src_file` were cut from one recording, so they never straddle fit and select.

    Raises:
        ConfigError: An unknown subset.
        InputError: Not that layout, or the CSV lacks a column.
    """
    root = need_folder(data, "the ESC-50 repository folder (meta/esc50.csv and audio/)")
    if settings.subset not in (None, "esc10", "esc50"):
        raise ConfigError(f"the ESC layout has no subset {settings.subset!r}", "use esc10 or esc50")
    table = root / "meta" / "esc50.csv"
    for needed in (table, root / "audio"):
        if not needed.exists():
            raise InputError(
                f"{printable(root.name)} has no {needed.relative_to(root).as_posix()}",
                "name the ESC-50 repository folder, the one with meta/ and audio/, with --data",
            )
    rows = read_rows(table)
    missing = [name for name in ESC_COLUMNS if name not in rows.columns]
    if missing:
        raise InputError(
            f"meta/esc50.csv has no column '{missing[0]}': it has {', '.join(rows.columns)}; "
            f"expected are {', '.join(ESC_COLUMNS)}"
        )
    column = {name: np.array(rows.columns[name]) for name in ESC_COLUMNS}
    folds = encode_folds(rows.columns["fold"], rows)
    chosen = np.ones(len(folds), dtype=bool)
    if settings.subset == "esc10":
        chosen = np.char.lower(column["esc10"]) == "true"
        if not chosen.any():
            raise InputError(
                "meta/esc50.csv marks no clip as ESC-10", "leave out --set data.subset=esc10"
            )
    labels, names = _esc_labels(column["target"][chosen], column["category"][chosen])
    skips = Skips(on_error, "meta/esc50.csv")
    catalogue = Catalogue(
        where="meta/esc50.csv",
        ids=tuple(f"audio/{name}" for name in column["filename"][chosen].tolist()),
        labels=labels,
        class_names=names,
        folds=folds[chosen],
        groups=encode_groups(column["src_file"][chosen].tolist()),
    )
    _check_esc_names(catalogue)
    return Located(root, (table,), catalogue, (), skips)


def _esc_labels(
    target: NDArray[np.str_], category: NDArray[np.str_]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number the categories by their `target`, from 0 without gaps."""
    names: dict[int, str] = {}
    for number, name in zip(target.tolist(), category.tolist(), strict=True):
        if not (number.isascii() and number.isdigit()) or not name:
            raise InputError(f"meta/esc50.csv has the target {number!r} for category {name!r}")
        if names.setdefault(int(number), name) != name:
            raise InputError(
                f"meta/esc50.csv gives target {number} to {names[int(number)]} and {name}"
            )
    distinct, labels = np.unique(target.astype(np.int64), return_inverse=True)
    return labels.astype(np.int64), tuple(as_words(names[number]) for number in distinct.tolist())


def _check_esc_names(catalogue: Catalogue) -> None:
    plain = all("/" not in name.removeprefix("audio/") for name in catalogue.ids)
    if not plain or len(set(catalogue.ids)) < len(catalogue.ids):
        raise InputError("meta/esc50.csv names a file twice, or one outside audio/")


def locate_folders(
    data: Path | None, suffixes: Sequence[str], what: str, on_error: OnError
) -> Located:
    """One folder a class, all below the root or below `train/`, `val/`, `test/` there.

    Args:
        data: The root.
        suffixes: Of the files that count.
        what: ``pictures`` or ``sounds``, for messages.
        on_error: The error policy.

    Raises:
        InputError: No class folders, an empty one, or classes that differ between the splits.
    """
    root = need_folder(data, f"a folder with one folder of {what} a class")
    below = subfolders(root)
    is_split = any(ROLE_WORDS.get(folder.name.lower()) == FIT for folder in below)
    parts = [(p, ROLE_WORDS[p.name.lower()]) for p in below if p.name.lower() in ROLE_WORDS]
    tops = parts if is_split else [(root, -1)]
    skips = Skips(on_error, printable(root.name))
    ids: list[str] = []
    names: list[str] = []
    given: list[int] = []
    others = 0
    for top, role in tops:
        for folder in subfolders(top):
            found, passed = walk_files(folder, suffixes)
            others += passed
            if not found:
                raise InputError(
                    f"the class folder {printable(folder.relative_to(root).as_posix())} has no "
                    f"{what}",
                    f"they must end in {', '.join(suffixes)}; remove the folder if it is no class",
                )
            for path in found:
                try:
                    name = relative_name(path, root)
                except InputError as error:
                    skips.add(str(path.relative_to(root)), error)
                    continue
                ids.append(name)
                names.append(folder.name)
                given.append(role)
    if not ids:
        raise InputError(
            f"{printable(root.name)} has no class folders",
            f"put the {what} of each class into a folder of its own",
        )
    labels, class_names = _folder_labels(names, given, is_split)
    roles = np.array(given, dtype=np.int8) if is_split else None
    catalogue = Catalogue(printable(root.name), tuple(ids), labels, class_names, roles)
    notes = (f"{others:,} files with another ending than {what} passed over",) if others else ()
    return Located(root, (), catalogue, notes, skips)


def _folder_labels(
    names: list[str], given: list[int], is_split: bool
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number the class folders by ascending name; all splits must know the same ones."""
    distinct = sorted(set(names))
    if is_split:
        fitted = {name for name, role in zip(names, given, strict=True) if role == FIT}
        for name, role in zip(names, given, strict=True):
            if name not in fitted:
                raise InputError(
                    f"the class {printable(name)} is in the {ROLE_NAMES[role]} split but not in "
                    "the training split",
                    "give every class a folder below train/",
                )
    class_names = tuple(as_words(printable(name)) for name in distinct)
    if len(set(class_names)) < len(class_names):
        twice = next(name for name in class_names if class_names.count(name) > 1)
        raise InputError(f"two class folders are both called '{twice}'", "rename one of them")
    index = {name: number for number, name in enumerate(distinct)}
    return np.array([index[name] for name in names], dtype=np.int64), class_names


def locate_manifest(data: Path | None, on_error: OnError) -> Located:
    """A CSV or Parquet table of paths and labels; ids are relative to the table's folder.

    Raises:
        InputError: As `read_manifest`.
    """
    table = find_table(need_path(data, "a CSV or Parquet table with the columns path and label"))
    catalogue = read_manifest(table)
    return Located(table.parent, (table,), catalogue, (), Skips(on_error, catalogue.where))
