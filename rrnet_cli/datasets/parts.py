"""The parts of cross-fitting: which baseline does not see a fitted instance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.base import FIT
from rrnet_cli.datasets.splits import PART_STREAM, generator, members_of
from rrnet_cli.errors import ConfigError


def fit_parts(
    roles: NDArray[np.int8],
    num_parts: int,
    seed: int,
    *,
    labels: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Deal the FIT instances to parts, at random and evenly in every class.

    Without groups the sizes of two parts differ by one at most, and so do their shares of a class.

    Args:
        roles: (n,) int8.
        num_parts: Two or more.
        seed: The `split_seed`.
        labels: (n,) class of each instance; None: all alike (ratings).
        groups: (n,) instances with the same number stay together; None: each for itself.

    Returns:
        (n,) int64: 0..num_parts-1 where FIT, else -1.

    Raises:
        ConfigError: More parts than there is to deal.
    """
    fit = np.flatnonzero(roles == FIT)
    dealt = np.zeros(len(fit), np.int64) if labels is None else labels[fit]
    rng = generator(seed, PART_STREAM)
    parts = np.full(len(roles), -1, dtype=np.int64)
    if groups is None:
        order = rng.permutation(len(fit))
        order = order[np.argsort(dealt[order], kind="stable")]
        parts[fit[order]] = np.arange(len(fit)) % num_parts
    else:
        parts[fit] = _deal_groups(dealt, groups[fit], num_parts, rng)
    if len(np.unique(parts[fit])) < num_parts:
        what = "instances" if groups is None else "groups of instances"
        raise ConfigError(
            f"--cross-fit {num_parts}: there are too few {what} to fit on for so many parts",
            "use a smaller number",
        )
    return parts


def _deal_groups(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    num_parts: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Give each group to the part that has least of its classes so far, then least of all.

    Class by class and the largest groups first, so that small ones even out what these left.
    """
    parts = np.empty(len(labels), dtype=np.int64)
    counts = np.zeros((num_parts, int(labels.max(initial=0)) + 1), dtype=np.int64)
    members = members_of(len(labels), groups)
    order = rng.permutation(len(members)).tolist()
    for group in sorted(order, key=lambda g: (labels[members[g][0]], -len(members[g]))):
        rows = members[group]
        had = counts[:, labels[rows]].sum(axis=1)
        part = np.lexsort((counts.sum(axis=1), had))[0]
        parts[rows] = part
        np.add.at(counts[part], labels[rows], 1)
    return parts
