"""Small random graphs in the form that RR-Net reads and in the form of plain lists."""

from __future__ import annotations

from dataclasses import dataclass

import dgl
import torch
from torch import Tensor

from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rrnet import GraphInputs

from .literal import Edges


@dataclass
class Toy:
    raw: dict[str, Tensor]
    edges: dict[str, Edges]

    def inputs(self) -> GraphInputs:
        ends = {"left": ("left", "left"), "right": ("right", "right"), "inter": ("left", "right")}
        relations = {}
        for name, (src, dst) in self.edges.items():
            source, target = ends[name]
            count = {side: len(self.raw[side]) for side in {source, target}}
            graph = dgl.heterograph(
                {(source, name, target): (torch.tensor(src), torch.tensor(dst))}, count
            )
            relations[name] = Relation.of(graph)
        return GraphInputs(relations, self.raw)


def toy(
    seed: int,
    left: int = 7,
    right: int = 5,
    with_right: bool = True,
    dtype: torch.dtype = torch.float64,
) -> Toy:
    generator = torch.Generator().manual_seed(seed)

    def some(rows: int, columns: int, share: float) -> Edges:
        chosen = torch.rand(rows, columns, generator=generator) < share
        chosen[0, 0] = True
        src, dst = chosen.nonzero(as_tuple=True)
        return src.tolist(), dst.tolist()

    raw = {
        "left": torch.randn(left, 6, generator=generator, dtype=dtype),
        "right": torch.randn(right, 4, generator=generator, dtype=dtype),
    }
    edges = {"inter": some(left, right, 0.5), "left": some(left, left, 0.3)}
    if with_right:
        edges["right"] = some(right, right, 0.4)
    return Toy(raw, edges)
