"""Out-of-fold priors: what a baseline says of its fitted instances without having seen them.

A baseline is surer of the instances that it was fitted on than of others, and RR-Net, supervised on
them, would learn to trust it too much. Cross-fitting (Stone 1974; for stacking Wolpert 1992) fits
one more baseline a part of FIT, on all the other parts, and takes the prior of the part from it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.base import HOLD
from rrnet_cli.progress import Reporter, SilentReporter

Refit = Callable[[int, NDArray[np.int8], NDArray[np.int64]], NDArray[np.float32]]
"""Fits a baseline and applies it: called with the number of a part, (num_instances,) roles in which
that part is HOLD instead of FIT, and the part's (n,) rows; returns the prior of these rows."""


def out_of_fold(
    prior: NDArray[np.float32],
    roles: NDArray[np.int8],
    parts: NDArray[np.int64],
    refit: Refit,
    reporter: Reporter | None = None,
) -> NDArray[np.float32]:
    """The prior with that of each FIT instance taken from a baseline that did not see it.

    Args:
        prior: (num_instances, ...) of the baseline that saw all of FIT; kept for the others.
        roles: (num_instances,) int8.
        parts: (num_instances,) int64 part of each FIT instance, -1 of the others.
        refit: See `Refit`; called once a part, in ascending order.
        reporter: Told which part is next.

    Returns:
        As `prior`, a new array.
    """
    result = prior.copy()
    num_parts = int(parts.max()) + 1
    for part in range(num_parts):
        (reporter or SilentReporter()).note(f"cross-fitting: part {part + 1} of {num_parts}")
        rows = np.flatnonzero(parts == part)
        without = roles.copy()
        without[rows] = HOLD
        result[rows] = refit(part, without, rows)
    return result
