"""What is done to a block of edges that stays in the first-level cache: the kernels' vocabulary.

All arrays are C-contiguous; a block is `count` rows, which begin at row `start` of an array of all
edges, or at row 0 of a scratch array (BLOCK, width).
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numba.core import types
from numba.core.extending import overload

from rrnet_cli.models.engines.lanes import add_to, load, prefetch, spread, store, stream
from rrnet_cli.models.engines.tiles import rows_of_tile, tile_add_to, tile_axpy, tile_zeros

BLOCK = 128
"""Edges of a block: at 16 floats a latent, 8 KiB for each of a kernel's few scratch arrays."""


@njit(nogil=True)
def number_ends(src: Any, dst: Any, grid: Any, start: int, count: int, ends: Any) -> None:
    """Write the block's sources and targets to `ends` (2, BLOCK).

    `grid` is (0, 0), or the periods in which the source and the target of a complete bipartite
    graph count up: one of them is 1 and the other the number of nodes of the other side.
    """
    if grid[0] == 0:
        for b in range(count):
            ends[0, b] = src[start + b]
            ends[1, b] = dst[start + b]
        return
    slow = 0 if grid[0] > 1 else 1  # the side that stays while the other one goes round
    period = max(grid[0], grid[1])
    row = start // period
    column = start - row * period
    for b in range(count):
        ends[slow, b] = row
        ends[1 - slow, b] = column
        column += 1
        if column == period:
            column = 0
            row += 1


@njit(nogil=True)
def prefetch_ids(lanes: Any, values: Any, ids: Any, count: int) -> None:
    """Bring the rows of some nodes to the cache; nothing if there are none."""
    if values.shape[0] > 0:
        for b in range(count):
            prefetch(lanes, values, ids[b])


@njit(nogil=True)
def gather_add(lanes: Any, source: Any, target: Any, ends: Any, count: int, out: Any) -> None:
    """`out[b] = source[ends[0, b]] + target[ends[1, b]]`."""
    for b in range(count):
        store(out, b, load(lanes, source, ends[0, b]) + load(lanes, target, ends[1, b]))


@njit(nogil=True)
def scatter_add(lanes: Any, values: Any, ids: Any, count: int, sums: Any) -> None:
    """`sums[ids[b]] += values[b]`; a run of one id is summed in registers."""
    current = ids[0]
    running = load(lanes, sums, current)
    for b in range(count):
        if ids[b] != current:
            store(sums, current, running)
            current = ids[b]
            running = load(lanes, sums, current)
        running = running + load(lanes, values, b)
    store(sums, current, running)


def rows_of_sums(into: Any, start: int, count: int, ends: Any, room: Any) -> Any:
    """The rows of the sums at both ends that a block's edges go into, (2, BLOCK).

    `into` is as `kernels.edge_forward` has it; `room` (2, BLOCK) is for them where they are not the
    edges' ends.
    """
    raise NotImplementedError("for kernels")


@overload(rows_of_sums)
def _rows_of_sums(into: Any, start: int, count: int, ends: Any, room: Any) -> Any:
    def nodes(into: Any, start: int, count: int, ends: Any, room: Any) -> Any:
        return ends

    def others(into: Any, start: int, count: int, ends: Any, room: Any) -> Any:
        for end in range(2):
            for b in range(count):
                room[end, b] = into[end][start + b] if into[end].shape[0] > 0 else ends[end, b]
        return room

    return nodes if isinstance(into, types.NoneType) else others


def rows_of(lanes: Any, x: Any, start: int, count: int, room: Any) -> Any:
    """Rows `start` to `start + count` of an array: as they are, or widened into `room`."""
    raise NotImplementedError("for kernels")


@overload(rows_of)
def _rows_of(lanes: Any, x: Any, start: int, count: int, room: Any) -> Any:
    def as_they_are(lanes: Any, x: Any, start: int, count: int, room: Any) -> Any:
        return x[start : start + count]

    def widened(lanes: Any, x: Any, start: int, count: int, room: Any) -> Any:
        for b in range(count):
            store(room, b, load(lanes, x, start + b))
        return room

    return widened if x.dtype == types.uint16 else as_they_are


@njit(nogil=True)
def times(lanes: Any, x: Any, count: int, weight: Any, out: Any) -> None:
    """`out[b] += x[b] @ weight`, for `weight` (x's width, out's width)."""
    depth = x.shape[1]
    rows = rows_of_tile(lanes)
    b = 0
    while b + rows <= count:
        tile = tile_zeros(lanes, out)
        for k in range(depth):
            tile = tile_axpy(tile, x, b * depth + k, depth, load(lanes, weight, k))
        tile_add_to(out, b, tile)
        b += rows
    while b < count:
        row = load(lanes, out, b)
        for k in range(depth):
            row = row + spread(lanes, x, b * depth + k) * load(lanes, weight, k)
        store(out, b, row)
        b += 1


@njit(nogil=True)
def stream_rows(lanes: Any, values: Any, count: int, out: Any, start: int) -> None:
    """`out[start + b] = values[b]`, past the caches; see `stream`."""
    for b in range(count):
        stream(out, start + b, load(lanes, values, b))


@njit(nogil=True)
def outer_add(lanes: Any, x: Any, y: Any, count: int, weight: Any) -> None:
    """`weight += sum over b of x[b] (outer) y[b]`.

    The sum over a block is in the precision of the rows, that over blocks in `weight`'s.
    """
    depth = x.shape[1]
    rows = rows_of_tile(lanes)
    k = 0
    while k + rows <= depth:
        tile = tile_zeros(lanes, y)
        for b in range(count):
            tile = tile_axpy(tile, x, b * depth + k, 1, load(lanes, y, b))
        tile_add_to(weight, k, tile)
        k += rows
    while k < depth:
        row = spread(lanes, x, k) * load(lanes, y, 0)
        for b in range(1, count):
            row = row + spread(lanes, x, b * depth + k) * load(lanes, y, b)
        add_to(weight, k, row)
        k += 1


@njit(nogil=True)
def column_sum(lanes: Any, values: Any, count: int, out: Any) -> None:
    """Add the sum of the block's rows to the one row of `out`."""
    running = load(lanes, values, 0)
    for b in range(1, count):
        running = running + load(lanes, values, b)
    add_to(out, 0, running)
