"""The fused kernels of the decoder; as those in `kernels`, a part of the edges a call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rrnet_cli.compiled import kernel
from rrnet_cli.models.engines.blocks import (
    BLOCK,
    column_sum,
    outer_add,
    rows_of,
    stream_rows,
    times,
)
from rrnet_cli.models.engines.lanes import (
    add_to,
    fill,
    load,
    relu,
    store,
    streamed,
    total,
    where_positive,
    width_of,
)


@njit(nogil=True)
def _decoder_hidden(lanes: Any, x: Any, count: int, layer: Any, out: Any) -> None:
    """relu(x @ weight_x + bias) of a block."""
    bias = load(lanes, layer[1], 0)
    for b in range(count):
        store(out, b, bias)
    times(lanes, x, count, layer[0], out)
    for b in range(count):
        store(out, b, relu(load(lanes, out, b)))


@kernel
def decoder_forward(lanes: Any, part: Any, x: Any, layer: Any, out: Any) -> None:
    """A logit of each edge.

    Args:
        lanes: Width hidden.
        part: First and last edge (exclusive).
        x: (num_edges, hidden); of uint16 it is bfloat16.
        layer: `weight_x` (hidden, hidden), `bias` (1, hidden), `head` (1, hidden), its bias (1, 1).
        out: (num_edges,), written.
    """
    bias = layer[1]
    hidden = np.empty((BLOCK, width_of(lanes)), bias.dtype)
    room = np.empty((BLOCK, width_of(lanes)), bias.dtype)
    head = load(lanes, layer[2], 0)
    for start in range(part[0], part[1], BLOCK):
        count = min(BLOCK, part[1] - start)
        _decoder_hidden(lanes, rows_of(lanes, x, start, count, room), count, layer, hidden)
        for b in range(count):
            out[start + b] = total(load(lanes, hidden, b) * head) + layer[3][0, 0]


@kernel
def decoder_backward(
    lanes: Any,
    part: Any,
    x: Any,
    layer: Any,
    grad_out: Any,
    transposed: Any,
    sums: Any,
    grad_x: Any,
) -> None:
    """Gradients of `decoder_forward`.

    Args:
        lanes: As there.
        part: As there.
        x: As there.
        layer: As there.
        grad_out: (num_edges,).
        transposed: `weight_x`, (hidden, width of x).
        sums: Added to: of `weight_x`, `bias`, `head` and its bias.
        grad_x: (num_edges, hidden), written.
    """
    width = width_of(lanes)
    bias = layer[1]
    hidden = np.empty((BLOCK, width), bias.dtype)
    work = np.empty((BLOCK, width), bias.dtype)
    room = np.empty((BLOCK, width), bias.dtype)
    head = load(lanes, layer[2], 0)
    of_bias = np.float64(0.0)  # not in `sums`, where both threads' are in one cache line
    for start in range(part[0], part[1], BLOCK):
        count = min(BLOCK, part[1] - start)
        rows = rows_of(lanes, x, start, count, room)
        _decoder_hidden(lanes, rows, count, layer, hidden)
        of_head = fill(0.0, head)
        for b in range(count):
            row, grad = load(lanes, hidden, b), fill(grad_out[start + b], head)
            of_head = of_head + row * grad
            of_bias += grad_out[start + b]
            store(hidden, b, where_positive(row, grad * head))
        add_to(sums[2], 0, of_head)
        column_sum(lanes, hidden, count, sums[1])
        outer_add(lanes, rows, hidden, count, sums[0])
        for b in range(count):
            store(work, b, fill(0.0, head))
        times(lanes, hidden, count, transposed, work)
        stream_rows(lanes, work, count, grad_x, start)
    sums[3][0, 0] += of_bias
    streamed()
