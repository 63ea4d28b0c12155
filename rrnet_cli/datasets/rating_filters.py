"""What happens to raw ratings before they are split: scale, duplicates, core, limit, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.files import printable
from rrnet_cli.datasets.rating_tables import Triples
from rrnet_cli.datasets.splits import generator
from rrnet_cli.errors import InputError
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import DataSettings

RATINGS_PER_LIMIT = 100
_LIMIT_STREAM = 10


def keep_rows(table: Triples, mask: NDArray[np.bool_]) -> Triples:
    """The rows where `mask`, (n,) bool, holds; ids stay numbered as they are."""
    return replace(
        table,
        first=table.first[mask],
        second=table.second[mask],
        value=table.value[mask],
        at=table.at[mask],
    )


def find_scale(table: Triples, settings: DataSettings) -> tuple[float, float]:
    """The scale as configured, or as the data span it.

    Raises:
        InputError: A rating outside, or all ratings equal.
        ConfigError: The configured end lies beyond the other end of the data.
    """
    value = table.value
    low = float(value.min()) if settings.rating_min is None else settings.rating_min
    high = float(value.max()) if settings.rating_max is None else settings.rating_max
    outside = np.flatnonzero((value < low) | (value > high))
    if len(outside):
        row = int(outside[0])
        raise InputError(
            f"{table.place(row)}: the rating {value[row]:g} is outside the scale {low:g} to "
            f"{high:g} ({len(outside):,} such ratings)",
            "mend the rows, or give the true scale: --set data.rating_min=LOW "
            "--set data.rating_max=HIGH",
        )
    if low == high:
        raise InputError(
            f"all ratings in {printable(table.file.name)} are {low:g}",
            "there is nothing to learn from them; if it is meant, --set data.rating_min=LOW "
            "--set data.rating_max=HIGH",
        )
    return low, high


def merge_duplicates(table: Triples, rule: str, reporter: Reporter) -> Triples:
    """One row a (user, item) pair, by the rule ``mean``, ``last`` or ``error``."""
    pair = table.first * len(table.second_ids) + table.second
    distinct, inverse, counts = np.unique(pair, return_inverse=True, return_counts=True)
    surplus = len(pair) - len(distinct)
    if not surplus:
        return table
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(counts)
    if rule == "error":
        again = np.delete(order, ends - counts).min()
        before = order[(ends - counts)[inverse[again]]]
        user, item = table.first_ids[table.first[again]], table.second_ids[table.second[again]]
        raise InputError(
            f"{table.place(int(again))} rates item {printable(item)} by user {printable(user)} "
            f"again, after {table.unit} {table.at[before]} ({surplus:,} such ratings)",
            "remove the duplicates, or choose by --set data.duplicates=mean (or last)",
        )
    last = order[ends - 1]
    if rule == "mean":
        value = np.add.reduceat(table.value[order], ends - counts) / counts
    else:
        value = table.value[last]
    reporter.note(
        f"{surplus:,} duplicate ratings of {(counts > 1).sum():,} user-item pairs "
        + ("merged into their mean" if rule == "mean" else "replaced by the last one")
    )
    return replace(
        table, first=table.first[last], second=table.second[last], value=value, at=table.at[last]
    )


def iterated_core(table: Triples, users: int, items: int, reporter: Reporter) -> Triples:
    """Drop users and items with fewer ratings, again and again until none is left to drop."""
    before = len(table.value)
    while True:
        by_user = np.bincount(table.first, minlength=len(table.first_ids))
        by_item = np.bincount(table.second, minlength=len(table.second_ids))
        mask = (by_user[table.first] >= users) & (by_item[table.second] >= items)
        if mask.all():
            break
        table = keep_rows(table, mask)
    if not len(table.value):
        raise InputError(
            f"no rating is left in the core of users with {users} and items with {items} ratings",
            "choose smaller --set data.core_users=N and --set data.core_items=N",
        )
    if len(table.value) < before:
        reporter.note(
            f"core (users ≥ {users}, items ≥ {items}): {before - len(table.value):,} of "
            f"{before:,} ratings dropped"
        )
    return table


def limit_ratings(table: Triples, limit: int | None, seed: int) -> Triples:
    """At most 100 · limit ratings, of whole users in random order (the last one cut to fit)."""
    cap = len(table.value) if limit is None else limit * RATINGS_PER_LIMIT
    if len(table.value) <= cap:
        return table
    # Users are ranked by their id, so that the order of lines in the file plays no part.
    _, user = renumber(table.first_ids, table.first)
    _, item = renumber(table.second_ids, table.second)
    rank = generator(seed, _LIMIT_STREAM).permutation(int(user.max()) + 1)
    mask = np.zeros(len(user), dtype=bool)
    mask[np.lexsort((item, rank[user]))[:cap]] = True
    return keep_rows(table, mask)


def renumber(
    ids: Sequence[str], index: NDArray[np.int64]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Number the ids that occur, ascending (numeric where all of them are integers)."""
    used = np.unique(index)
    names = [ids[i] for i in used.tolist()]
    if all(_is_integer(name) for name in names):
        order = sorted(range(len(names)), key=lambda i: (int(names[i]), names[i]))
    else:
        order = sorted(range(len(names)), key=names.__getitem__)
    number = np.full(len(ids), -1, dtype=np.int64)
    number[used[order]] = np.arange(len(used))
    return tuple(names[i] for i in order), number[index]


def _is_integer(name: str) -> bool:
    digits = name.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 4000
