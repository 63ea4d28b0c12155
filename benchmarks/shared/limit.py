"""The least that a training step has to do, counted from the sizes, and the fit of its growth.

The count is of the model of Sec. III-C with linear maps factorised over concatenations (a block
that lives on nodes is mapped on the nodes), one forward and one backward pass. What the logits do
not depend on, the node layers of the last unit, is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Sizes:
    """What the cost of a step depends on.

    Attributes:
        nodes, widths: Number and raw width of the `left` and the `right` nodes.
        edges: Number of edges of `inter`, and of `left` and `right` where there are any.
        units: The stack, of intra and inter units; its last one is `inter`.
        hidden: Width of every latent.
    """

    nodes: Mapping[str, int]
    widths: Mapping[str, int]
    edges: Mapping[str, int]
    units: Sequence[str]
    hidden: int = 16

    @property
    def num_edges(self) -> int:
        """Edges of all relations."""
        return sum(self.edges.values())

    @property
    def intra(self) -> tuple[str, ...]:
        """The sides that have intra-edges."""
        return tuple(side for side in ("left", "right") if side in self.edges)


def step_flops(sizes: Sizes) -> int:
    """Floating-point operations of all matrix products, an addition and a multiplication each.

    A product n × a × b costs 2nab forward, and as much for either gradient backward; the raw
    attributes want none.
    """
    h = sizes.hidden
    both = sum(sizes.nodes.values())
    inter = sizes.edges["inter"]
    # of raw attributes: a node encoder for each side, and one block for each end of each relation
    raw = sum(
        sizes.nodes[side] * sizes.widths[side] * h * (2 + 2 * (side in sizes.intra))
        for side in sizes.nodes
    )
    rows = both + sizes.num_edges  # second layers of the encoders, each h × h
    for number, unit in enumerate(sizes.units):
        if unit == "inter":
            # W and the first layer on the nodes of either end; e's block and the second layer
            rows += 2 * both + 2 * inter
            if number < len(sizes.units) - 1:
                rows += 3 * both  # a node layer has two blocks and a second layer
        else:
            rows += sum(5 * sizes.nodes[side] + 2 * sizes.edges[side] for side in sizes.intra)
    latent = (rows + inter) * h * h + inter * h  # with the decoder
    return 2 * (2 * raw + 3 * latent)


def step_bytes(sizes: Sizes) -> int:
    """Bytes that cross the memory bus if each float32 state is moved once a pass.

    An edge layer reads and writes a latent for each edge forward; backward it reads its input and
    its result's gradient and writes its input's: five. The last intra layer's result goes to the
    means alone, so it is neither written nor is its gradient read: three. An encoder writes
    forward and reads the gradient backward: two; the decoder reads, reads again and writes: three,
    and five floats an edge for logits, targets and their gradient. Raw attributes are read once
    forward and once backward. Indices, node states and gathers are taken to stay in the caches.
    """
    units = list(sizes.units)
    layers = {name: units.count("inter" if name == "inter" else "intra") for name in sizes.edges}
    latents = sum((2 + 5 * layers[name]) * count for name, count in sizes.edges.items())
    latents -= sum(2 * sizes.edges[side] for side in sizes.intra)
    inter = sizes.edges["inter"]
    raw = sum(count * sizes.widths[side] for side, count in sizes.nodes.items())
    floats = (latents + 3 * inter) * sizes.hidden + 5 * inter + 2 * raw
    return floats * FLOAT_BYTES


def growth_exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The b of seconds = a · size^b by least squares of the logarithms.

    Raises:
        ValueError: Fewer than two different sizes.
    """
    xs, ys = [math.log(size) for size in sizes], [math.log(value) for value in seconds]
    if len(set(xs)) < 2:
        raise ValueError("an exponent needs two different sizes")
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - mean_x) ** 2 for x in xs)
