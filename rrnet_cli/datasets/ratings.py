"""Ratings with trust links: cleaned, filtered, renumbered and split (paper Sec. IV-C1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.base import RatingSet, Source
from rrnet_cli.datasets.files import need_folder, need_path, printable
from rrnet_cli.datasets.rating_filters import (
    find_scale,
    iterated_core,
    keep_rows,
    limit_ratings,
    merge_duplicates,
    renumber,
)
from rrnet_cli.datasets.rating_tables import Triples, read_mat, read_triples
from rrnet_cli.datasets.splits import rating_roles
from rrnet_cli.errors import InputError
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import DataSettings

SUFFIXES = (".txt", ".csv", ".tsv", ".dat", ".data", ".parquet")
RATING_STEMS = ("ratings", "rating")
TRUST_STEMS = ("trust", "trusts", "links", "social")


@dataclass(frozen=True)
class _Files:
    root: Path
    ratings: Path
    trust: Path | None


class RatingReader:
    """Reads a rating file and, where there is one, a trust file beside it.

    The order of work: drop rows rated 0 (Ciao only: it marks 34 rows so), refuse ratings outside
    the scale, merge duplicates, keep the iterated core, apply `limit`, renumber, keep the links
    between users who are left, split.

    `limit` keeps at most 100 · limit ratings: whole users, in an order drawn by `split_seed`.

    Args:
        settings: Scale, duplicates, core, limit, fold or fractions.
        data: A folder with `ratings.*` (and `trust.*`), the rating file itself, or Ciao's folder.
    """

    def __init__(self, settings: DataSettings, data: Path | None) -> None:
        self.settings = settings
        self.data = data

    @cached_property
    def _files(self) -> _Files:
        if self.settings.layout == "ciao":
            root = need_folder(self.data, "the folder with rating.mat and trustnetwork.mat")
            files = _Files(root, root / "rating.mat", root / "trustnetwork.mat")
            for file in (files.ratings, files.trust):
                if file is not None and not file.is_file():
                    raise InputError(
                        f"{printable(root.name)} has no {file.name}",
                        "name the folder with rating.mat and trustnetwork.mat with --data",
                    )
            return files
        path = need_path(self.data, "a folder with ratings.txt (user item rating a line)")
        if path.is_file():
            trust = _one_of(path.parent, TRUST_STEMS)
            return _Files(path.parent, path, None if trust == path else trust)
        path = need_folder(self.data, "a folder with ratings.txt (user item rating a line)")
        ratings = _one_of(path, RATING_STEMS)
        if ratings is None:
            raise InputError(
                f"{printable(path.name)} has no ratings file",
                f"call it ratings with one of the endings {', '.join(SUFFIXES)}, or name the file "
                "itself with --data",
            )
        return _Files(path, ratings, _one_of(path, TRUST_STEMS))

    def source(self) -> Source:
        """The rating file and the trust file."""
        files = self._files
        both = (files.ratings,) if files.trust is None else (files.ratings, files.trust)
        return Source(files.root, tuple(sorted(both)))

    def load(self, reporter: Reporter) -> RatingSet:
        """Read, clean and split.

        Raises:
            ConfigError: A fold or a scale that does not fit.
            InputError: A rating outside the scale, a value that is no number, duplicates where
                they are refused, too few ratings; names file and line.
        """
        files = self._files
        is_ciao = self.settings.layout == "ciao"
        with reporter.task("Reading ratings", 1 if files.trust is None else 2, "file") as task:
            table = (
                read_mat(files.ratings, "rating", (0, 1, 3)) if is_ciao
                else read_triples(files.ratings)
            )  # fmt: skip
            task.advance(status=f"{len(table.value):,} rows")
            trust = None
            if files.trust is not None:
                trust = (
                    read_mat(files.trust, "trustnetwork", (0, 1, None)) if is_ciao
                    else read_triples(files.trust, value_optional=True)
                )  # fmt: skip
                task.advance()
        if is_ciao and not table.value.all():
            reporter.note(f"{(table.value == 0).sum():,} rows rated 0 dropped (no rating)")
            table = keep_rows(table, table.value != 0)
        if not len(table.value):
            raise InputError(f"{printable(files.ratings.name)} has no ratings")
        scale = find_scale(table, self.settings)
        table = merge_duplicates(table, self.settings.duplicates, reporter)
        table = iterated_core(table, self.settings.core_users, self.settings.core_items, reporter)
        table = limit_ratings(table, self.settings.limit, self.settings.split_seed)
        return self._number(table, trust, scale, reporter)

    def _number(
        self, table: Triples, trust: Triples | None, scale: tuple[float, float], reporter: Reporter
    ) -> RatingSet:
        """Renumber users and items by ascending id, sort, link and split."""
        user_ids, user = renumber(table.first_ids, table.first)
        item_ids, item = renumber(table.second_ids, table.second)
        order = np.lexsort((item, user))
        return RatingSet(
            user_ids=user_ids,
            item_ids=item_ids,
            user=user[order],
            item=item[order],
            rating=table.value[order].astype(np.float32),
            roles=rating_roles(len(order), self.settings),
            scale=scale,
            links=_links(trust, user_ids, reporter),
        )


def _one_of(folder: Path, stems: Sequence[str]) -> Path | None:
    """The one file with such a name, or none.

    Raises:
        InputError: There is more than one.
    """
    found = [
        folder / (stem + suffix)
        for stem in stems
        for suffix in SUFFIXES
        if (folder / (stem + suffix)).is_file()
    ]
    if len(found) > 1:
        both = " and ".join(path.name for path in found)
        raise InputError(
            f"{printable(folder.name)} holds {both}", "keep the one that is meant in the folder"
        )
    return found[0] if found else None


def _links(
    trust: Triples | None, user_ids: tuple[str, ...], reporter: Reporter
) -> NDArray[np.int64]:
    """(2, num_links) distinct links between different users who have ratings, sorted."""
    if trust is None:
        return np.zeros((2, 0), dtype=np.int64)
    number = {name: row for row, name in enumerate(user_ids)}
    first = np.array([number.get(name, -1) for name in trust.first_ids], dtype=np.int64)
    second = np.array([number.get(name, -1) for name in trust.second_ids], dtype=np.int64)
    links = np.stack((first[trust.first], second[trust.second]))
    same = (
        np.array(trust.first_ids, dtype=object)[trust.first]
        == np.array(trust.second_ids, dtype=object)[trust.second]
    )
    positive = trust.value > 0
    unknown = (links < 0).any(axis=0) & positive & ~same
    good = positive & ~same & ~unknown
    distinct = np.unique(links[:, good], axis=1)
    for count, what in (
        (int((~positive).sum()), "links without trust (value 0 or below)"),
        (int((same & positive).sum()), "links of users to themselves"),
        (int(unknown.sum()), "links of users without a rating"),
        (int(good.sum()) - distinct.shape[1], "links given twice"),
    ):
        if count:
            reporter.note(f"{count:,} {what} dropped")
    return np.ascontiguousarray(distinct)
