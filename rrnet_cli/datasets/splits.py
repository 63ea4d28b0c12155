"""Who is fitted on, selected on and tested on: seeded, stratified, aware of groups and folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.base import FIT, HOLD, ROLE_NAMES, SELECT, TEST
from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.settings import DataSettings

NUM_RATING_FOLDS = 5
ROLE_WORDS = {
    **dict.fromkeys(("fit", "train", "training"), FIT),
    **dict.fromkeys(("select", "val", "valid", "validation", "dev"), SELECT),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), TEST),
}
"""How data sets name their splits, in lower case."""

# One stream of random numbers a purpose, so that one more draw here never moves another split.
_TEST_STREAM, _SELECT_STREAM, _LIMIT_STREAM, _RATING_STREAM, _HOLD_STREAM, PART_STREAM = range(6)


@dataclass(frozen=True)
class Catalogue:
    """What is known of every instance before anything is decoded.

    Attributes:
        where: The data set, for messages.
        ids: Unique names, num_instances of them.
        labels: (num_instances,) int64.
        class_names: Names as words.
        given: (num_instances,) int8 roles where the data set has a split of its own.
        folds: (num_instances,) int64 where it has folds.
        groups: (num_instances,) int64 where some instances must stay together.
    """

    where: str
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    given: NDArray[np.int8] | None = None
    folds: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None


def generator(seed: int, stream: int) -> np.random.Generator:
    """The random numbers of one purpose under one `split_seed`."""
    return np.random.default_rng([seed, stream])


def carve(
    labels: NDArray[np.int64],
    fraction: float,
    rng: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Choose about `fraction` of every class, whole groups at a time.

    Each class with two or more instances gives at least one and keeps at least one, unless its
    groups forbid it. Without groups the count of a class is exactly round(fraction · size).

    Args:
        labels: (n,) class of each instance.
        fraction: In (0, 1).
        rng: Source of the order in which groups are tried.
        groups: (n,) instances with the same number stay together; none: each for itself.

    Returns:
        (n,) bool: chosen.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    members = members_of(len(labels), groups)
    classes = [Counter(labels[rows].tolist()) for rows in members]
    sizes = Counter(labels.tolist())
    need = {
        label: min(max(int(size * fraction + 0.5), 1), size - 1) for label, size in sizes.items()
    }
    left = dict(sizes)
    order = rng.permutation(len(members)).tolist()

    def take(group: int) -> None:
        chosen[members[group]] = True
        for label, count in classes[group].items():
            need[label] -= count
            left[label] -= count

    for group in order:
        wanted = sum(min(max(need[label], 0), n) for label, n in classes[group].items())
        spared = all(left[label] > n for label, n in classes[group].items())
        # A group may overshoot, but no further than leaving it out would undershoot.
        if wanted > 0 and spared and 2 * wanted >= len(members[group]):
            take(group)
    for label in sorted(sizes):
        if left[label] == sizes[label] > 1:  # every group was too big: the smallest that can go
            able = [
                g
                for g in order
                if label in classes[g]
                and not chosen[members[g][0]]
                and all(left[other] > n for other, n in classes[g].items())
            ]
            if able:
                take(min(able, key=lambda g: len(members[g])))
    return chosen


def members_of(num: int, groups: NDArray[np.int64] | None) -> list[NDArray[np.int64]]:
    """The instances of each group, groups in ascending order of their number."""
    if groups is None:
        return list(np.arange(num)[:, None])
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, starts)


def assign_roles(catalogue: Catalogue, settings: DataSettings) -> NDArray[np.int8]:
    """The role of every instance.

    With `settings.fold`: TEST is that fold. Else the data set's own split, where it has one. What
    is then missing is carved out of the rest by `split_seed`: `test_fraction` of all for TEST,
    `val_fraction` of the training instances for SELECT, at last `holdout` of FIT for HOLD, so that
    neither SELECT nor TEST depends on it, or of SELECT, so that neither FIT nor TEST does.

    Returns:
        (num_instances,) int8 of FIT, SELECT, TEST, HOLD.

    Raises:
        ConfigError: A fold that does not exist.
    """
    num = len(catalogue.ids)
    if settings.fold is not None:
        roles = np.where(_fold_mask(catalogue, settings.fold), TEST, FIT).astype(np.int8)
    elif catalogue.given is not None:
        roles = catalogue.given.copy()
    else:
        roles = np.full(num, FIT, dtype=np.int8)
    held_of = SELECT if settings.holdout_of == "select" else FIT
    for role, fraction, stream, source in (
        (TEST, settings.test_fraction, _TEST_STREAM, FIT),
        (SELECT, settings.val_fraction, _SELECT_STREAM, FIT),
        (HOLD, settings.holdout, _HOLD_STREAM, held_of),
    ):
        rest = np.flatnonzero(roles == source)
        if fraction is None or (roles == role).any() or not len(rest):
            continue
        groups = None if catalogue.groups is None else catalogue.groups[rest]
        rng = generator(settings.split_seed, stream)
        roles[rest[carve(catalogue.labels[rest], fraction, rng, groups)]] = role
    return roles


def _fold_mask(catalogue: Catalogue, fold: int) -> NDArray[np.bool_]:
    if catalogue.folds is None:
        raise ConfigError(f"{catalogue.where} has no folds", "leave out --fold")
    if not (catalogue.folds == fold).any():
        folds = ", ".join(str(f) for f in np.unique(catalogue.folds))
        raise ConfigError(f"{catalogue.where} has no fold {fold}", f"its folds are {folds}")
    held_out: NDArray[np.bool_] = catalogue.folds == fold
    return held_out


def keep_limit(
    labels: NDArray[np.int64], roles: NDArray[np.int8], limit: int | None, seed: int
) -> NDArray[np.int64]:
    """The instances that `limit` keeps: at most so many a class and role, in their old order.

    A smaller limit keeps a subset of what a larger one keeps.

    Returns:
        (num_kept,) int64 ascending positions.
    """
    if limit is None:
        return np.arange(len(labels))
    order = generator(seed, _LIMIT_STREAM).permutation(len(labels))
    cell = labels[order] * len(ROLE_NAMES) + roles[order]
    by_cell = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[by_cell], prepend=-1))
    rank = np.arange(len(labels)) - np.repeat(starts, np.diff(starts, append=len(labels)))
    return np.sort(order[by_cell[rank < limit]])


def check_roles(
    where: str, labels: NDArray[np.int64], roles: NDArray[np.int8], class_names: Sequence[str]
) -> None:
    """Refuse what nothing can be learned from or judged on.

    Raises:
        InputError: One class only, or a role without instances.
    """
    if len(class_names) < 2:
        raise InputError(
            f"{where} has one class only ({', '.join(class_names)})",
            "two or more classes are needed: one folder or one label each",
        )
    for role in (FIT, SELECT, TEST):
        if not (roles == role).any():
            raise InputError(
                f"the {ROLE_NAMES[role]} split of {where} is empty",
                "give it more instances, or a larger --val-fraction or --set data.test_fraction=X",
            )
    present = np.unique(labels[roles == FIT])
    if len(present) < 2:
        only = ", ".join(class_names[label] for label in present)
        raise InputError(
            f"the fit split of {where} holds one class only ({only})",
            "check the split or fold column: instances to fit on must cover the classes",
        )


def rating_roles(num_ratings: int, settings: DataSettings) -> NDArray[np.int8]:
    """The role of every rating (paper Sec. IV-C1: a random split, five times).

    Without `settings.fold`: `test_fraction` and `val_fraction` of all ratings at random, thus
    80/10/10 by default. With it: one of five folds is TEST and `val_fraction` of the rest SELECT.
    `holdout` of what is then left to fit, or of SELECT, is HOLD.

    Returns:
        (num_ratings,) int8.

    Raises:
        ConfigError: A fold that does not exist.
        InputError: Too few ratings for three splits.
    """
    order = generator(settings.split_seed, _RATING_STREAM).permutation(num_ratings)
    roles = np.full(num_ratings, FIT, dtype=np.int8)
    if settings.fold is None:
        num_test = round(num_ratings * settings.test_fraction)
        test, rest = order[:num_test], order[num_test:]
        num_select = round(num_ratings * settings.val_fraction)
    else:
        if settings.fold > NUM_RATING_FOLDS:
            raise ConfigError(
                f"ratings have no fold {settings.fold}",
                f"their folds are 1 to {NUM_RATING_FOLDS}",
            )
        folds = np.array_split(order, NUM_RATING_FOLDS)
        test = folds.pop(settings.fold - 1)
        rest = generator(settings.split_seed, _SELECT_STREAM).permutation(np.concatenate(folds))
        num_select = round(len(rest) * settings.val_fraction)
    roles[test] = TEST
    select, left = rest[:num_select], rest[num_select:]
    roles[select] = SELECT
    source = select if settings.holdout_of == "select" else left
    roles[source[: round(len(source) * (settings.holdout or 0))]] = HOLD
    if any(not (roles == role).any() for role in (FIT, SELECT, TEST)):
        raise InputError(
            f"{num_ratings} ratings are too few to fit, select and test on",
            "give more ratings, or larger --val-fraction and --set data.test_fraction=X",
        )
    return roles
