"""The peers of a training step: RR-Net in plain PyTorch with DGL, and with PyTorch Geometric.

Eqs. (1)-(8) as they stand: every concatenation is built. The raw edge attributes v_s ‖ v_r are
inputs of the model (Sec. III-B), so they are built once, before the first step, as is whatever else
does not change between steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, cat, empty, nn

ENDS = {"left": ("left", "left"), "right": ("right", "right"), "inter": ("left", "right")}
PIECE = 2**16


def naive_network(net: Any) -> nn.ModuleDict:
    """The peers' modules, plain MLPs by name, with the parameters of an RR-Net."""

    def linear(source: Any) -> nn.Linear:
        width_out, width_in = source.weight.shape
        made = nn.Linear(width_in, width_out, bias=source.bias is not None)
        made.load_state_dict(source.state_dict())
        return made

    def mlp(source: Any) -> nn.Sequential:
        return nn.Sequential(linear(source.first), nn.ReLU(), linear(source.head.linear))

    found = nn.ModuleDict({"decoder": mlp(net.decoder)})
    found.update({f"node {side}": mlp(source) for side, source in net.node_encoder.items()})
    found.update({f"edge {name}": mlp(source) for name, source in net.edge_encoder.items()})
    for i, unit in enumerate(net.units):
        for name, layer in unit.items():
            found[f"{i} edge {name}"] = mlp(layer.edge)
            if name == "inter":
                found[f"{i} kernel"] = linear(layer.kernel)
                found[f"{i} node left"] = mlp(layer.left.mlp)
                found[f"{i} node right"] = mlp(layer.right.mlp)
            else:
                found[f"{i} node {name}"] = mlp(layer.node.mlp)
    return found


def raw_attributes(graph: Any, feats: dict[str, Tensor]) -> dict[str, Tensor]:
    """v_s ‖ v_r of every edge, by relation; filled in pieces, so that no copy adds to the peak."""
    found = {}
    for name in graph.etypes:
        index = graph.edges(etype=name, order="eid")
        source, target = (feats[end] for end in ENDS[name])
        found[name] = empty(len(index[0]), source.shape[1] + target.shape[1])
        pieces = zip(*(ends.split(PIECE) for ends in (found[name], *index)), strict=True)
        for rows, src, dst in pieces:
            rows[:] = cat([source[src], target[dst]], dim=1)
    return found


def with_dgl(
    net: nn.ModuleDict, units: Sequence[str], graph: Any, feats: dict[str, Tensor]
) -> Callable[[], Tensor]:
    """The forward pass in DGL: `apply_edges` concatenates; it gives (num_inter_edges,) logits."""
    import dgl.function as fn

    slices = {name: graph[name] for name in graph.etypes}
    backward = slices["inter"].reverse()

    def pair(name: str, nodes: dict[str, Tensor]) -> Tensor:
        part, (a, b) = slices[name], ENDS[name]
        with part.local_scope():
            part.srcnodes[a].data["x"] = nodes[a]
            part.dstnodes[b].data["y"] = nodes[b]
            part.apply_edges(lambda e: {"z": cat([e.src["x"], e.dst["y"]], dim=1)})
            return part.edata["z"]

    def mean(part: Any, edge_feat: Tensor) -> Tensor:
        with part.local_scope():
            part.edata["e"] = edge_feat
            part.update_all(fn.copy_e("e", "m"), fn.mean("m", "v"))
            return part.dstdata["v"]

    raw = raw_attributes(graph, feats)

    def forward() -> Tensor:
        nodes = {side: net[f"node {side}"](value) for side, value in feats.items()}
        edges = {name: net[f"edge {name}"](raw[name]) for name in slices}
        for i, unit in enumerate(units):
            if unit == "intra":
                for name in [side for side in ("left", "right") if side in slices]:
                    both = cat([pair(name, nodes), edges[name]], dim=1)
                    edges[name] = net[f"{i} edge {name}"](both)
                    around = cat([mean(slices[name], edges[name]), nodes[name]], dim=1)
                    nodes[name] = net[f"{i} node {name}"](around)
                continue
            kernel = net[f"{i} kernel"](pair("inter", nodes))
            edges["inter"] = net[f"{i} edge inter"](cat([kernel, edges["inter"]], dim=1))
            for side, part in (("left", backward), ("right", slices["inter"])):
                around = cat([mean(part, edges["inter"]), nodes[side]], dim=1)
                nodes[side] = net[f"{i} node {side}"](around)
        return net["decoder"](edges["inter"]).squeeze(1)

    return forward


def with_pyg(
    net: nn.ModuleDict, units: Sequence[str], graph: Any, feats: dict[str, Tensor]
) -> Callable[[], Tensor]:
    """The forward pass in PyTorch Geometric, a `MetaLayer` each unit and relation.

    A `MetaLayer` knows one table of nodes, so an inter unit's has the left nodes and then the
    right ones. The graph is read for its edges alone.
    """
    from torch import stack
    from torch_geometric.nn import MetaLayer
    from torch_geometric.utils import scatter

    num_left = len(feats["left"])
    index = {name: stack(graph.edges(etype=name, order="eid")) for name in graph.etypes}
    raw = raw_attributes(graph, feats)
    index["inter"][1] += num_left

    class Edges(nn.Module):
        """Eqs. (3) and (6)-(7): an edge's ends, through W if there is one, and its attribute."""

        def __init__(self, mlp: nn.Module, kernel: nn.Module) -> None:
            super().__init__()
            self.mlp, self.kernel = mlp, kernel

        def forward(self, src: Tensor, dst: Tensor, edge_attr: Tensor, *_: object) -> Tensor:
            ends = self.kernel(cat([src, dst], dim=1))
            return self.mlp(cat([ends, edge_attr], dim=1))

    class Receivers(nn.Module):
        """Eq. (8) for nodes of one type."""

        def __init__(self, mlp: nn.Module) -> None:
            super().__init__()
            self.mlp = mlp

        def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, *_: object) -> Tensor:
            mean = scatter(edge_attr, edge_index[1], dim_size=len(x), reduce="mean")
            return self.mlp(cat([mean, x], dim=1))

    class BothEnds(nn.Module):
        """Eq. (8) for the nodes of either end, an MLP each."""

        def __init__(self, left: nn.Module, right: nn.Module) -> None:
            super().__init__()
            self.left, self.right = left, right

        def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, *_: object) -> Tensor:
            src, dst = edge_index[0], edge_index[1] - num_left
            sent = scatter(edge_attr, src, dim_size=num_left, reduce="mean")
            received = scatter(edge_attr, dst, dim_size=len(x) - num_left, reduce="mean")
            left = self.left(cat([sent, x[:num_left]], dim=1))
            return cat([left, self.right(cat([received, x[num_left:]], dim=1))])

    def layer(i: int, name: str) -> MetaLayer:
        edge = net[f"{i} edge {name}"]
        if name != "inter":
            return MetaLayer(Edges(edge, nn.Identity()), Receivers(net[f"{i} node {name}"]))
        ends = BothEnds(net[f"{i} node left"], net[f"{i} node right"])
        return MetaLayer(Edges(edge, net[f"{i} kernel"]), ends)

    sides = [side for side in ("left", "right") if side in index]
    stacked = [
        {name: layer(i, name) for name in (sides if unit == "intra" else ["inter"])}
        for i, unit in enumerate(units)
    ]

    def forward() -> Tensor:
        nodes = {side: net[f"node {side}"](value) for side, value in feats.items()}
        edges = {name: net[f"edge {name}"](raw[name]) for name in index}
        for unit in stacked:
            for name, meta in unit.items():
                x = cat([nodes["left"], nodes["right"]]) if name == "inter" else nodes[name]
                x, edges[name], _ = meta(x, index[name], edges[name])
                if name == "inter":
                    nodes = {"left": x[:num_left], "right": x[num_left:]}
                else:
                    nodes[name] = x
        return net["decoder"](edges["inter"]).squeeze(1)

    return forward
