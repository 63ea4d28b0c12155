"""The fused kernels of an edge layer with its sums, forward and backward.

One call does a part of the edges, `first` to `last`, on one thread, a block at a time, and drops
the global interpreter lock. Pre-activations and new attributes are recomputed in the backward
pass. Absent arrays are given with zero rows. Weights are given transposed where their rows are
read by input: `weight_x` (width of x, hidden), `head_in` (hidden in, hidden out).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rrnet_cli.compiled import kernel
from rrnet_cli.models.engines.blocks import (
    BLOCK,
    column_sum,
    gather_add,
    number_ends,
    outer_add,
    prefetch_ids,
    rows_of,
    rows_of_sums,
    scatter_add,
    stream_rows,
    times,
)
from rrnet_cli.models.engines.lanes import (
    fill,
    load,
    relu,
    store,
    streamed,
    where_positive,
    width_of,
)


@njit(nogil=True)
def _block(part: Any, start: int) -> Any:
    """The start of a part's block and its number of edges; none beyond the part."""
    return start, max(0, min(BLOCK, part[1] - start))


@njit(nogil=True)
def _ahead(lanes: Any, graph: Any, layer: Any, at: Any, ends: Any) -> None:
    """Number the ends of a block that is to come, and have its rows fetched meanwhile."""
    src, dst, grid, _ = graph
    source, target = layer[:2]
    start, count = at
    number_ends(src, dst, grid, start, count, ends)
    if grid[0] == 0:  # the processor foresees a grid's rows by itself
        prefetch_ids(lanes, source, ends[0], count)
        prefetch_ids(lanes, target, ends[1], count)


@njit(nogil=True)
def _hidden(lanes: Any, ends: Any, layer: Any, x: Any, count: int, out: Any) -> None:
    """relu(source[s] + target[t] + x @ weight_x) of a block, whose rows of x these are."""
    source, target, _, weight_x = layer[:4]
    gather_add(lanes, source, target, ends, count, out)
    if x.shape[1] > 0:
        times(lanes, x, count, weight_x, out)
    for b in range(count):
        store(out, b, relu(load(lanes, out, b)))


@njit(nogil=True)
def _head(lanes: Any, hidden: Any, count: int, layer: Any, out: Any) -> None:
    """Maps hidden to hidden @ head_in + bias."""
    bias = load(lanes, layer[5], 0)
    for b in range(count):
        store(out, b, bias)
    times(lanes, hidden, count, layer[4], out)


@kernel
def edge_forward(lanes: Any, part: Any, graph: Any, layer: Any, out: Any, sums: Any) -> None:
    """New edge attributes and their sums over the edges of each end.

    Args:
        lanes: Width hidden.
        part: First and last edge (exclusive).
        graph: `src`, `dst` (num_edges,) int32, `grid` of `number_ends`, and of each end the rows of
            its sums that edges go into, (num_edges,) int32, without entries where these are its
            nodes; None where they are for both.
        layer: `source` (num_sources, hidden), `target` (num_targets, hidden), `x` (num_edges,
            width of x), `weight_x`, `head_in`, `bias` (1, hidden). What has a row for each edge may
            be bfloat16, given as uint16.
        out: (num_edges, hidden), written.
        sums: By source and by target (num_rows, hidden), added to.
    """
    bias = layer[5]
    hidden, result, room = (
        np.empty((BLOCK, width_of(lanes)), bias.dtype),
        np.empty((BLOCK, width_of(lanes)), bias.dtype),
        np.empty((BLOCK, width_of(lanes)), bias.dtype),
    )
    ends, ahead = np.empty((2, BLOCK), np.int32), np.empty((2, BLOCK), np.int32)
    apart = np.empty((2, BLOCK), np.int32)
    _ahead(lanes, graph, layer, _block(part, part[0]), ahead)
    for start in range(part[0], part[1], BLOCK):
        count = min(BLOCK, part[1] - start)
        ends, ahead = ahead, ends
        _ahead(lanes, graph, layer, _block(part, start + BLOCK), ahead)
        _hidden(lanes, ends, layer, rows_of(lanes, layer[2], start, count, room), count, hidden)
        _head(lanes, hidden, count, layer, result)
        stream_rows(lanes, result, count, out, start)
        rows = rows_of_sums(graph[3], start, count, ends, apart)
        for end in range(2):
            if sums[end].shape[0] > 0:
                scatter_add(lanes, result, rows[end], count, sums[end])
    streamed()


@njit(nogil=True)
def _incoming(lanes: Any, rows: Any, at: Any, grads: Any, out: Any) -> None:
    """Gradient of each edge's result: its own and that of the sums it went into."""
    grad_out, grad_sums = grads
    start, count = at
    zero = fill(0.0, load(lanes, out, 0))
    for b in range(count):
        row = zero
        if grad_out.shape[0] > 0:
            row = row + load(lanes, grad_out, start + b)
        for end in range(2):
            if grad_sums[end].shape[0] > 0:
                row = row + load(lanes, grad_sums[end], rows[end, b])
        store(out, b, row)


@njit(nogil=True)
def _through_relu(lanes: Any, hidden: Any, grad: Any, count: int, weight: Any, out: Any) -> None:
    """Maps grad to grad @ weight where the hidden unit answers, else 0."""
    zero = fill(0.0, load(lanes, hidden, 0))
    for b in range(count):
        store(out, b, zero)
    times(lanes, grad, count, weight, out)
    for b in range(count):
        store(out, b, where_positive(load(lanes, hidden, b), load(lanes, out, b)))


@kernel
def edge_backward(
    lanes: Any,
    part: Any,
    graph: Any,
    layer: Any,
    grads: Any,
    transposed: Any,
    sums: Any,
    grad_x: Any,
) -> None:
    """Gradients of `edge_forward`.

    Args:
        lanes: As there.
        part: As there.
        graph: As there.
        layer: As there.
        grads: Of the edges' results (num_edges, hidden), and the pair of those of the sums.
        transposed: `weight_x` as (hidden, width of x), and `head_in` as (hidden out, hidden in).
        sums: Added to: of `source` and `target`, and of `weight_x`, `head_in` and `bias`.
        grad_x: (num_edges, hidden), written; or no rows.
    """
    node_sums, weight_sums = sums
    bias = layer[5]
    width = width_of(lanes)
    hidden = np.empty((BLOCK, width), bias.dtype)
    grad = np.empty((BLOCK, width), bias.dtype)
    work = np.empty((BLOCK, width), bias.dtype)
    room = np.empty((BLOCK, width), bias.dtype)
    ends, ahead = np.empty((2, BLOCK), np.int32), np.empty((2, BLOCK), np.int32)
    apart = np.empty((2, BLOCK), np.int32)
    zero = fill(0.0, load(lanes, layer[5], 0))
    _ahead(lanes, graph, layer, _block(part, part[0]), ahead)
    for start in range(part[0], part[1], BLOCK):
        count = min(BLOCK, part[1] - start)
        at, coming = (start, count), _block(part, start + BLOCK)
        ends, ahead = ahead, ends
        _ahead(lanes, graph, layer, coming, ahead)
        if graph[2][0] == 0:
            for end in range(2):
                prefetch_ids(lanes, grads[1][end], ahead[end], coming[1])
                prefetch_ids(lanes, node_sums[end], ahead[end], coming[1])
        x = rows_of(lanes, layer[2], start, count, room)
        _hidden(lanes, ends, layer, x, count, hidden)
        _incoming(lanes, rows_of_sums(graph[3], start, count, ends, apart), at, grads, grad)
        outer_add(lanes, hidden, grad, count, weight_sums[1])
        column_sum(lanes, grad, count, weight_sums[2])
        _through_relu(lanes, hidden, grad, count, transposed[1], work)
        for end in range(2):
            scatter_add(lanes, work, ends[end], count, node_sums[end])
        if x.shape[1] > 0:
            outer_add(lanes, x, work, count, weight_sums[0])
        if grad_x.shape[0] > 0:
            for b in range(count):
                store(grad, b, zero)
            times(lanes, work, count, transposed[0], grad)
            stream_rows(lanes, grad, count, grad_x, start)
    streamed()
