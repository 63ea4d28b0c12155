"""Relations of every kind that a kernel may meet."""

from __future__ import annotations

import dgl
import torch

from rrnet_cli.models.engines.base import SOURCE, TARGET
from rrnet_cli.models.relation import Relation

Lists = tuple[list[int], list[int]]


def relation(src: list[int], dst: list[int], num_sources: int, num_targets: int) -> Relation:
    edges = {("a", "r", "b"): (torch.tensor(src).long(), torch.tensor(dst).long())}
    return Relation.of(dgl.heterograph(edges, {"a": num_sources, "b": num_targets}))


def some(
    order: str, seed: int = 0, num_sources: int = 23, num_targets: int = 11, num_edges: int = 301
) -> Relation:
    """Multi-edges and isolated nodes on both sides; edges by `source`, `target` or neither."""
    draw = torch.Generator().manual_seed(seed)
    src = torch.randint(0, num_sources - 2, (num_edges,), generator=draw)
    dst = torch.randint(0, num_targets - 2, (num_edges,), generator=draw)
    if order != "none":
        place = torch.argsort(src if order == "source" else dst, stable=True)
        src, dst = src[place], dst[place]
    return relation(src.tolist(), dst.tolist(), num_sources, num_targets)


def complete(num_sources: int, num_targets: int, by_source: bool) -> Relation:
    if by_source:
        src = torch.arange(num_sources).repeat_interleave(num_targets)
        dst = torch.arange(num_targets).repeat(num_sources)
    else:
        src = torch.arange(num_sources).repeat(num_targets)
        dst = torch.arange(num_targets).repeat_interleave(num_sources)
    return relation(src.tolist(), dst.tolist(), num_sources, num_targets)


def partial(order: str = "target") -> Relation:
    """Not all edges are in the means: at some nodes of both ends only a few, at some none."""
    plain = some(order)
    ends = plain.forward.edges(order="eid")
    draw = torch.Generator().manual_seed(1)
    own = [torch.rand(plain.num_edges, generator=draw) < 0.6 for _ in ends]
    counted = [which & (end != 0) for which, end in zip(own, ends, strict=True)]
    return Relation(ends, plain.sizes, {SOURCE: counted[0], TARGET: counted[1]})


def partial_at_targets() -> Relation:
    both = partial()
    return Relation(both.given, both.sizes, {TARGET: both.counted[TARGET]})


RELATIONS = {
    "by source": lambda: some("source"),
    "by target": lambda: some("target"),
    "in no order": lambda: some("none"),
    "one edge": lambda: relation([1], [0], 3, 2),
    "no edges": lambda: relation([], [], 3, 2),
    "complete by source": lambda: complete(19, 13, True),
    "complete by target": lambda: complete(19, 13, False),
    "one target": lambda: complete(140, 1, True),
    "one source": lambda: complete(1, 140, False),
    "some in the means": partial,
    "some in the means, in no order": lambda: partial("none"),
    "some in the means at targets": partial_at_targets,
}
