"""One training step of RR-Net by every engine, against the same model with concatenations built.

All run the five units of Sec. IV-B with the same parameters on the same generated graph, each in a
process of its own, in turn; their first losses must agree. The peer is plain DGL and PyTorch,
eqs. (1)-(8) as they stand: `apply_edges` concatenates.

    python benchmarks/train_step.py [--size cifar100|filmtrust] [--scale 1.0] [--steps 3]
        [--only fused dgl naive]

`cifar100` is 60,000 x 512 and 100 x 300 nodes, 1.2 M intra- and 0.9 M inter-edges; `filmtrust` is
1,508 x 128 users and 2,071 x 128 items, every user with every item (3.1 M edges), and 1,853 links.
`--scale` takes that part of the instances or users. Of each, the JSON on stdout has the median
seconds of a step by the clock, its processor seconds, and the peak memory of the process; then the
ratios of the peer (or else the plain engine) to each engine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

UNITS = ("intra", "inter", "intra", "inter", "inter")
ENDS = {"left": ("left", "left"), "right": ("right", "right"), "inter": ("left", "right")}
RUNS = ("fused", "dgl", "naive")
LABELS, K_INTRA, K_INTER, K_TEXT = 100, 20, 15, 3
USERS, ITEMS, LINKS = 1508, 2071, 1853
LOSSES_AGREE = 1e-5


def make_inputs(size: str, scale: float) -> tuple[Any, dict[str, Any]]:
    """A heterograph with the types `left`, `right` and `inter`, and raw attributes by side."""
    import dgl
    import torch

    torch.manual_seed(0)
    edges: dict[tuple[str, str, str], Any] = {}
    if size == "cifar100":
        left, right, widths = round(60_000 * scale), LABELS, (512, 300)
        node = torch.arange(left)
        edges["left", "left", "left"] = (
            torch.randint(0, left, (left * K_INTRA,)),
            node.repeat_interleave(K_INTRA),
        )
        edges["right", "right", "right"] = (
            torch.randint(0, right, (right * K_TEXT,)),
            torch.arange(right).repeat_interleave(K_TEXT),
        )
        src = node.repeat_interleave(K_INTER)
        dst = torch.rand(left, right).topk(K_INTER, dim=1).indices.flatten()
    else:
        left, right, widths = round(USERS * scale), ITEMS, (128, 128)
        links = torch.randint(0, left, (2, LINKS))
        edges["left", "left", "left"] = (links[0], links[1].sort().values)
        src = torch.arange(left).repeat(right)
        dst = torch.arange(right).repeat_interleave(left)
    order = torch.argsort(dst * left + src)  # as the store keeps them
    edges["left", "inter", "right"] = (src[order], dst[order])
    graph = dgl.heterograph(edges, {"left": left, "right": right})
    feats = {"left": torch.randn(left, widths[0]), "right": torch.randn(right, widths[1])}
    return graph, feats


def rrnet(graph: Any, feats: dict[str, Any], engine: str) -> tuple[Any, Any]:
    """RR-Net and its inputs; the same parameters for every engine."""
    import torch

    from rrnet_cli.models import engines
    from rrnet_cli.models.relation import Relation
    from rrnet_cli.models.rrnet import GraphInputs, RRNet, Shape

    inputs = GraphInputs({name: Relation.of(graph[name]) for name in graph.etypes}, feats)
    torch.manual_seed(1)
    return RRNet(Shape.of(inputs), UNITS, engine=engines.choose(engine)), inputs


def naive_network(net: Any) -> Any:
    """The peer's modules, plain MLPs by name, with the parameters of an RR-Net."""
    from torch import nn

    def linear(source: Any) -> nn.Linear:
        made = nn.Linear(*reversed(source.weight.shape), bias=source.bias is not None)
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


def naive_forward(net: Any, graph: Any, feats: dict[str, Any]) -> Any:
    """Eqs. (1)-(8) with every concatenation built; (num_inter_edges,) logits."""
    import dgl.function as fn
    import torch

    slices = {name: graph[name] for name in graph.etypes}

    def pair(name: str, nodes: dict[str, Any]) -> Any:
        part, (a, b) = slices[name], ENDS[name]
        with part.local_scope():
            part.srcnodes[a].data["x"] = nodes[a]
            part.dstnodes[b].data["y"] = nodes[b]
            part.apply_edges(lambda e: {"z": torch.cat([e.src["x"], e.dst["y"]], dim=1)})
            return part.edata["z"]

    def mean(name: str, edge_feat: Any, reverse: bool = False) -> Any:
        part = slices[name].reverse() if reverse else slices[name]
        with part.local_scope():
            part.edata["e"] = edge_feat
            part.update_all(fn.copy_e("e", "m"), fn.mean("m", "v"))
            return part.dstdata["v"]

    nodes = {side: net[f"node {side}"](value) for side, value in feats.items()}
    edges = {name: net[f"edge {name}"](pair(name, feats)) for name in slices}
    for i, unit in enumerate(UNITS):
        if unit == "intra":
            for name in [side for side in ("left", "right") if side in slices]:
                both = torch.cat([pair(name, nodes), edges[name]], dim=1)
                edges[name] = net[f"{i} edge {name}"](both)
                around = torch.cat([mean(name, edges[name]), nodes[name]], dim=1)
                nodes[name] = net[f"{i} node {name}"](around)
            continue
        kernel = net[f"{i} kernel"](pair("inter", nodes))
        edges["inter"] = net[f"{i} edge inter"](torch.cat([kernel, edges["inter"]], dim=1))
        for side, reverse in (("left", True), ("right", False)):
            around = torch.cat([mean("inter", edges["inter"], reverse), nodes[side]], dim=1)
            nodes[side] = net[f"{i} node {side}"](around)
    return net["decoder"](edges["inter"]).squeeze(1)


def step_of(which: str, size: str, scale: float) -> Callable[[], float]:
    """A function that does one forward and backward pass and returns the loss."""
    import torch
    from torch.nn import functional

    graph, feats = make_inputs(size, scale)
    target = (torch.rand(graph.num_edges("inter")) < 1 / K_INTER).float()
    if which == "naive":
        net = naive_network(rrnet(graph, feats, "dgl")[0])
    else:
        net, inputs = rrnet(graph, feats, which)

    def step() -> float:
        net.zero_grad()
        logits = naive_forward(net, graph, feats) if which == "naive" else net(inputs)
        loss = functional.binary_cross_entropy_with_logits(logits, target)
        loss.backward()
        return float(loss)

    return step


def child(which: str, size: str, scale: float, steps: int) -> None:
    if which != "naive":
        from rrnet_cli import runtime

        runtime.prepare()
    step = step_of(which, size, scale)
    loss = step()
    clock, processor = [], []
    for _ in range(steps):
        start = time.perf_counter(), time.process_time()
        step()
        clock.append(time.perf_counter() - start[0])
        processor.append(time.process_time() - start[1])
    found = {
        "seconds": sorted(clock)[steps // 2],
        "cpu_seconds": sorted(processor)[steps // 2],
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "loss": loss,
    }
    print(json.dumps(found))


def ratios(result: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The last run against each other one."""
    *others, peer = result
    return {
        f"{peer}_over_{other}": {
            key: result[peer][key] / result[other][key]
            for key in ("seconds", "cpu_seconds", "peak_gib")
        }
        for other in others
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=["cifar100", "filmtrust"], default="cifar100")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=RUNS, default=RUNS)
    parser.add_argument("--child", choices=RUNS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.size, options.scale, options.steps)
        return
    result = {}
    for which in [run for run in RUNS if run in options.only]:
        command = [sys.executable, __file__, "--child", which, "--size", options.size]
        command += ["--scale", str(options.scale), "--steps", str(options.steps)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result[which] = json.loads(done.stdout.splitlines()[-1])
    losses = [found["loss"] for found in result.values()]
    if max(losses) - min(losses) > LOSSES_AGREE * abs(losses[0]):
        sys.exit(f"the losses do not agree: {losses}")
    head = {"size": options.size, "scale": options.scale}
    print(json.dumps(head | result | ratios(result), indent=2))


if __name__ == "__main__":
    main()
