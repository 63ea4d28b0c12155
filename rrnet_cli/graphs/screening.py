"""Which nodes may be among the nearest: scores in bfloat16, and how far they may be off.

With points p (see `Keys`) and their mean c, q = p - c, a product of points is

    p_i . p_j = q_i . q_j + b_i + b_j     with b = c . p - |c|^2 / 2,

and half a squared distance, times -1, the same with q = p and b = -|p|^2 / 2. Biases are exact, so
what rounding q to a shorter format costs is a share of |q_i| |q_j| alone, which centring makes
small. With r the largest |q - rounded q| / |q|, the product of rounded points, summed in float32
and rounded once more, is off by less than

    doubt |q_i| |q_j|,   doubt = 2 r + r^2 + (1 + r)^2 (dim 2^-23 (1 + u) + u) + 2^-20,

where u is that last rounding, 2^-8 (none in float32), and the last term is for the float32 in which
bounds are compared. A node whose score plus its doubt is below what k others reach for certain is
none of the k nearest; all others are measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from rrnet_cli.compiled import run
from rrnet_cli.graphs.keys import Keys
from rrnet_cli.graphs.knn_kernels import GROUP, search
from rrnet_cli.runtime import has_bfloat16

BLOCK_ROWS = 512
"""Most rows of a block: more are no faster."""

LIMIT = 4096
"""Most measurements of a row under bfloat16; scoring it in float32 costs as much as so many."""

BFLOAT16_NODES = 2048
"""Fewer nodes are scored in float32 at once."""

_NOTHING = 2.0**-100
"""A shorter point is screened as if it were the mean."""


def search_screened(
    keys: Keys, rows: Tensor, k: int, size: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """As `knn.search_rows`, `size` rows at a time.

    Rows of which bfloat16 tells too little are searched again in float32.
    """
    short = has_bfloat16() and len(keys) >= BFLOAT16_NODES
    screen = Screen(keys, torch.bfloat16 if short else torch.float32)
    exact = None if short else screen
    for block in rows.split(min(size, BLOCK_ROWS)):
        index, similarity, measured = screen.search(block, k, LIMIT if short else len(keys))
        hard = (measured > LIMIT).nonzero().squeeze(1)
        if short and len(hard):
            exact = exact or Screen(keys, torch.float32)
            index[hard], similarity[hard], _ = exact.search(block[hard], k, len(keys))
        yield block, index, similarity


class Screen:
    """All nodes in one format, and what is known of their errors.

    Attributes:
        arguments: What `knn_kernels.search` calls `screen`.
    """

    def __init__(self, keys: Keys, dtype: torch.dtype) -> None:
        self._keys = keys
        num_nodes, dim = keys.features.shape
        padded = -(-num_nodes // GROUP) * GROUP
        self._points = torch.zeros(padded, dim, dtype=dtype)
        # Rows that only pad reach no bound.
        spread = torch.zeros(padded, dtype=torch.float64)
        bias = torch.full((padded,), -torch.inf, dtype=torch.float64)
        cosine = keys.metric == "cosine"
        centre = torch.zeros(dim, dtype=torch.float64)
        if cosine:
            for _, points in keys.pieces():
                centre += points.sum(dim=0) / num_nodes
        worst = 0.0
        for rows, points in keys.pieces():
            bias[rows] = points @ centre - centre.square().sum() / 2
            points -= centre
            spread[rows] = length = torch.linalg.vector_norm(points, dim=1)
            if not cosine:
                bias[rows] = length.square() / -2
            small = (length < _NOTHING).unsqueeze(1)
            self._points[rows] = points.masked_fill(small, 0.0).to(dtype)
            error = torch.linalg.vector_norm(points - self._points[rows], dim=1) / length
            worst = max(worst, float(error.masked_fill(small.squeeze(1), 0.0).amax()))
        last = 2.0**-8 if dtype == torch.bfloat16 else 0.0
        summed = dim * 2.0**-23 * (1 + last) + last
        doubt = 2 * worst + worst**2 + (1 + worst) ** 2 * summed + 2.0**-20
        # Float64 itself, where points are of length 1 and biases cancel; what float32 cannot hold.
        floor = dim * 2.0**-48 if cosine else 2.0**-80
        narrow = bias.abs().nan_to_num(posinf=0.0) * 2.0**-21
        width, low, high = spread.float(), (bias - narrow).float(), (bias + narrow).float()
        least, lows = (values.view(-1, GROUP).amin(dim=1).numpy() for values in (width, low))
        most, tops, highs = (
            values.view(-1, GROUP).amax(dim=1).numpy() for values in (width, low, high)
        )
        self.arguments = (
            width.numpy(),
            low.numpy(),
            high.numpy(),
            bias.numpy(),
            np.float32(doubt),
            floor,
            np.uint32(16 if dtype == torch.bfloat16 else 0),
            (least, most, lows, tops),
            (most, highs),
        )
        self._scores = torch.empty(0, padded, dtype=dtype)

    def score(self, rows: Tensor) -> Tensor:
        """Products of rounded points (num_rows, padded num_nodes), valid until the next call."""
        points = self._points
        if len(self._scores) < len(rows):
            self._scores = self._scores.new_empty(len(rows), len(points))
        return torch.mm(points[rows], points.T, out=self._scores[: len(rows)])

    def search(self, rows: Tensor, k: int, limit: int) -> tuple[Tensor, Tensor, Tensor]:
        """Ids (num_rows, k) int64, similarities float32, and measurements (num_rows,) int64.

        A row with more than `limit` of these has been given up.
        """
        keys, scores = self._keys, self.score(rows)
        bits = scores.view(torch.int16 if scores.dtype == torch.bfloat16 else torch.int32).numpy()
        index = np.empty((len(rows), k), np.int64)
        similarity, nearness = (np.empty((len(rows), k), np.float32) for _ in range(2))
        counts = np.empty(len(rows), np.int64)
        common = (
            bits,
            rows.numpy(),
            (keys.features.numpy(), keys.norms.numpy(), keys.metric == "cosine", keys.unit),
            self.arguments,
            limit,
            (index, similarity, nearness),
            counts,
        )
        threads = min(torch.get_num_threads(), len(rows))
        cuts = [len(rows) * part // threads for part in range(threads + 1)]
        run(search, [(part, *common) for part in itertools.pairwise(cuts)])
        return torch.from_numpy(index), torch.from_numpy(similarity), torch.from_numpy(counts)
