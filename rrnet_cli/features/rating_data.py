"""A recommendation as methods are given it: fitted and select ratings, links, no test rating."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RatingData:
    """A recommendation, without any rating of a test pair; equal to itself alone.

    Attributes:
        num_users, num_items: Numbers are below these.
        scale: Lowest and highest rating.
        user, item: (num_fit,) int64 of the fitted pairs.
        rating: (num_fit,) float32 on the raw scale.
        select_user, select_item: (num_select,) int64.
        select_rating: (num_select,) float32.
        links: (2, num_links) int64 user-user links, each in both directions; may be empty.
    """

    num_users: int
    num_items: int
    scale: tuple[float, float]
    user: IntArray
    item: IntArray
    rating: NDArray[np.float32]
    select_user: IntArray
    select_item: IntArray
    select_rating: NDArray[np.float32]
    links: IntArray
