"""RR-Net as the paper writes it: every concatenation is built, every mean is a loop.

Slow and obvious: the reference that the factorised network is held against. It reads the
network's own parameters by name.
"""

from __future__ import annotations

import torch
from torch import Tensor

Edges = tuple[list[int], list[int]]


class Literal:
    """Eqs. (1)-(8) on plain lists of edges, without the options of our own."""

    def __init__(self, parameters: dict[str, Tensor], units: list[str]) -> None:
        self.parameters = parameters
        self.units = units

    def linear(self, name: str, value: Tensor) -> Tensor:
        result = value @ self.parameters[f"{name}.weight"].T
        bias = self.parameters.get(f"{name}.bias")
        return result if bias is None else result + bias

    def mlp(self, name: str, *blocks: Tensor) -> Tensor:
        hidden = torch.relu(self.linear(f"{name}.first", torch.cat(blocks, dim=1)))
        return self.linear(f"{name}.head.linear", hidden)

    @staticmethod
    def mean(ends: list[int], edge_feat: Tensor, num_nodes: int) -> Tensor:
        rows = []
        for node in range(num_nodes):
            incident = [edge_feat[edge] for edge, end in enumerate(ends) if end == node]
            rows.append(
                torch.stack(incident).mean(dim=0) if incident else torch.zeros(edge_feat.shape[1])
            )
        return torch.stack(rows)

    def __call__(self, raw: dict[str, Tensor], edges: dict[str, Edges]) -> Tensor:
        ends = {"left": ("left", "left"), "right": ("right", "right"), "inter": ("left", "right")}
        sides = raw if self.units else ()  # without units neither nodes nor intra-edges are read
        nodes = {side: self.mlp(f"node_encoder.{side}", raw[side]) for side in sides}
        state = {}
        for name, (src, dst) in edges.items():
            if not self.units and name != "inter":
                continue
            source, target = ends[name]
            pair = torch.cat([raw[source][src], raw[target][dst]], dim=1)
            state[name] = self.mlp(f"edge_encoder.{name}", pair)
        for index, unit in enumerate(self.units):
            names = ["inter"] if unit == "inter" else [n for n in ("left", "right") if n in edges]
            for name in names:
                src, dst = edges[name]
                prefix = f"units.{index}.{name}"
                if unit == "intra":
                    node = nodes[name]
                    state[name] = self.mlp(f"{prefix}.edge", node[src], node[dst], state[name])
                    received = self.mean(dst, state[name], len(node))
                    nodes[name] = self.mlp(f"{prefix}.node.mlp", received, node)
                    continue
                left, right = nodes["left"], nodes["right"]
                pair = torch.cat([left[src], right[dst]], dim=1)
                aggregated = self.linear(f"{prefix}.kernel", pair)
                state[name] = self.mlp(f"{prefix}.edge", aggregated, state[name])
                sent = self.mean(src, state[name], len(left))
                received = self.mean(dst, state[name], len(right))
                nodes["left"] = self.mlp(f"{prefix}.left.mlp", sent, left)
                nodes["right"] = self.mlp(f"{prefix}.right.mlp", received, right)
        return self.mlp("decoder", state["inter"]).squeeze(1)
