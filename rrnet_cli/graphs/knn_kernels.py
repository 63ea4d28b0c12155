"""Kernels of the exact neighbour search: from screened scores of a row to its neighbours.

Of a row's screened scores, the highest of each group is found first: it tells of most groups that
none of them matters. The others are looked through twice. The first time, for a bound that the
row's k-th nearest is certain to reach; the second time, what may lie above the bound is measured in
float64, by ascending id, and each neighbour found raises the bound. `screening` says what the
bounds are. Sums of a group are rounded as those of its scores: rounding keeps their order.

All kernels are in this file, for numba's cache of one looks at no other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rrnet_cli.compiled import kernel

GROUP = 128
"""Scores that are compared at once; a row of them is padded to a multiple."""

LANES = 32
"""Partial sums of a float64 sum, as `keys.ordered_sum` has them."""

_SLACK = 2.0**-20
"""Share by which bounds are lowered: two that are one float32 apart are a tie, and bounds are
float32 themselves."""


@njit(nogil=True, error_model="numpy")
def _score(scores: Any, spread: Any, bias: Any, width: Any, shift: Any, at: Any) -> Any:
    """One score with its bias and `width` times its uncertainty; bfloat16 are shifted by 16."""
    value = np.uint32(np.uint32(scores[at]) << shift).view(np.float32)
    return value + (width * spread[at] + bias[at])


@njit(nogil=True, error_model="numpy")
def _fill_highest(scores: Any, shift: Any, highest: Any) -> None:
    """The highest score of each group as float32, and 0 where none is above."""
    for group in range(highest.shape[0]):
        start = np.uint64(group * GROUP)
        bits = scores[start]
        for lane in range(1, GROUP):
            bits = max(bits, scores[start + np.uint64(lane)])
        # Bits of floats ascend with them where they are not negative, and are negative otherwise.
        highest[group] = np.uint32(np.uint32(max(bits, 0)) << shift).view(np.float32)


@njit(nogil=True, error_model="numpy")
def _any_above(
    scores: Any, spread: Any, bias: Any, width: Any, shift: Any, start: int, bound: Any
) -> bool:
    """Whether one of a group reaches the bound. Unsigned indices make vector code of it."""
    found = np.uint32(0)
    for lane in range(GROUP):
        at = np.uint64(start) + np.uint64(lane)
        found |= np.uint32(_score(scores, spread, bias, width, shift, at) >= bound)
    return found != 0


@njit(nogil=True, error_model="numpy")
def _sum(here: Any, near: Any, cosine: bool, lanes: Any) -> float:
    """Sum of the products, or of the squared differences, as `keys.ordered_sum` adds them."""
    dim = here.shape[0]
    lanes[:] = 0.0
    for start in range(0, dim, LANES):
        count = min(LANES, dim - start)
        for lane in range(count):
            at = np.uint64(start) + np.uint64(lane)
            left, right = np.float64(here[at]), np.float64(near[at])
            if not cosine:
                left = right - left
                right = left
            lanes[np.uint64(lane)] += left * right
    half = LANES // 2
    while half > 0:
        for lane in range(half):
            lanes[lane] += lanes[lane + half]
        half //= 2
    return lanes[0]


@njit(nogil=True, error_model="numpy")
def _lowered(reached: Any, own: Any, floor: Any) -> Any:
    """Bound for the scores of a row, its own bias taken off, where `reached` is reached."""
    return np.float32(reached - own - _SLACK * (abs(reached) + abs(own)) - floor)


@njit(nogil=True, error_model="numpy")
def _insert(lowest: Any, score: Any) -> Any:
    """Keep the k highest scores, in descending order; the last of them."""
    place = lowest.shape[0] - 1
    if score > lowest[place]:
        while place > 0 and lowest[place - 1] < score:
            lowest[place] = lowest[place - 1]
            place -= 1
        lowest[place] = score
    return lowest[-1]


@njit(nogil=True, error_model="numpy")
def _certain_bound(scores: Any, highest: Any, row: int, screen: Any, lowest: Any) -> Any:
    """What the k-th nearest of a row reaches for certain; `lowest` (k,) is room for its search.

    The highest of k groups come first, each with the worst that its group allows. With that bound
    most groups need no look at their scores.
    """
    spread, low, _, own, doubt, floor, shift, (least, most, lows, tops), _ = screen
    width = -doubt * spread[row]
    lowest[:] = -np.inf
    bound = np.float32(-np.inf)
    for group in range(highest.shape[0]):
        if highest[group] > 0 and group != row // GROUP:
            bound = _insert(lowest, highest[group] + (width * most[group] + lows[group]))
    lowest[:] = -np.inf
    for group in range(highest.shape[0]):
        start = group * GROUP
        if highest[group] + (width * least[group] + tops[group]) < bound:
            continue
        if not _any_above(scores, spread, low, width, shift, start, bound):
            continue
        for other in range(start, start + GROUP):
            score = _score(scores, spread, low, width, shift, np.uint64(other))
            if score > bound and other != row:
                bound = max(bound, _insert(lowest, score))
    return _lowered(bound + own[row], own[row], floor)


@njit(nogil=True, error_model="numpy")
def _similar(keys: Any, row: int, other: int, lanes: Any) -> Any:
    """Key of nearness, lower is nearer, and similarity of two nodes: float32, as `Keys` has it."""
    features, norms, cosine, _ = keys
    total = _sum(features[row], features[other], cosine, lanes)
    if cosine:
        lengths = norms[row] * norms[other]
        similarity = np.float32(min(max(total / lengths, -1.0), 1.0) if lengths > 0 else 0.0)
        return -similarity, similarity
    distance = np.sqrt(total)
    return np.float32(distance), np.float32(1.0 / (1.0 + distance))


@njit(nogil=True, error_model="numpy")
def _measure(
    scores: Any,
    highest: Any,
    row: int,
    bound: Any,
    keys: Any,
    screen: Any,
    limit: int,
    lanes: Any,
    found: Any,
) -> int:
    """Measure whatever may be above the bound, into `found`; how many these were."""
    spread, _, high, own, doubt, floor, shift, _, (most, highs) = screen
    _, norms, cosine, unit = keys
    index, similarity, nearness = found
    width = doubt * spread[row]
    k = index.shape[0]
    nearest = np.float32(-1.0 if cosine and norms[row] > 0 else 0.0)
    have = measured = 0
    for group in range(highest.shape[0]):
        start = group * GROUP
        if highest[group] + (width * most[group] + highs[group]) < bound:
            continue
        if not _any_above(scores, spread, high, width, shift, start, bound):
            continue
        for other in range(start, start + GROUP):
            score = _score(scores, spread, high, width, shift, np.uint64(other))
            if score < bound or other == row:
                continue
            measured += 1
            if measured > limit:
                return measured
            key, similar = _similar(keys, row, other, lanes)
            if have < k:
                have += 1
            elif key >= nearness[k - 1]:  # as near as a lower id: that one stays
                continue
            place = have - 1
            while place > 0 and nearness[place - 1] > key:
                index[place], similarity[place] = index[place - 1], similarity[place - 1]
                nearness[place] = nearness[place - 1]
                place -= 1
            index[place], similarity[place], nearness[place] = other, similar, key
            if have == k:
                last = np.float64(nearness[k - 1])
                if last <= nearest:  # none that follows can be nearer
                    return measured
                reached = -last if cosine else -0.5 * (last * unit) ** 2
                bound = max(bound, _lowered(reached, own[row], floor))
    return measured


@kernel
def search(
    part: Any, scores: Any, rows: Any, keys: Any, screen: Any, limit: int, found: Any, counts: Any
) -> None:
    """The k nearest of some rows, nearest first.

    Args:
        part: First and last (exclusive) of the rows to do.
        scores: (num_rows, a multiple of `GROUP`) bits of the screened scores: int16 of bfloat16,
            or int32 of float32.
        rows: (num_rows,) int64, ids of the nodes that are searched for.
        keys: Features (num_nodes, dim) float32, norms (num_nodes,) float64, whether by cosine, and
            by what a distance becomes one of scores.
        screen: Of each node the spread, the lower and the upper bias float32, the bias float64;
            then doubt, floor and the shift that makes float32 of scores; then of each group the
            least and greatest spread, lowest and highest lower bias, and the greatest spread and
            highest upper bias.
        limit: Most measurements of a row; one that needs more is given up.
        found: Ids int64, similarities and keys float32, each (num_rows, k); written.
        counts: (num_rows,) int64, measurements of each row; written.
    """
    lanes = np.empty(LANES, np.float64)
    highest = np.empty(scores.shape[1] // GROUP, np.float32)
    lowest = np.empty(found[0].shape[1], np.float32)
    for at in range(part[0], part[1]):
        row = rows[at]
        _fill_highest(scores[at], screen[6], highest)
        bound = _certain_bound(scores[at], highest, row, screen, lowest)
        lists = (found[0][at], found[1][at], found[2][at])
        counts[at] = _measure(scores[at], highest, row, bound, keys, screen, limit, lanes, lists)
