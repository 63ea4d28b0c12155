"""One training step of RR-Net against the same model with every concatenation built.

Both run the five units of Sec. IV-B on a generated graph of CIFAR-100's size (60,000 x 512 and
100 x 300 nodes, 1.2 M intra- and 0.9 M inter-edges), each in a process of its own, in turn. The
peer is plain DGL and PyTorch, eqs. (1)-(8) as they stand: `apply_edges` concatenates.

    python benchmarks/train_step.py [--images 60000] [--steps 3]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

UNITS = ("intra", "inter", "intra", "inter", "inter")
LABELS, K_INTRA, K_INTER, K_TEXT = 100, 20, 15, 3


def make_inputs(num_images: int) -> tuple[object, dict[str, object]]:
    import dgl
    import torch

    torch.manual_seed(0)
    node = torch.arange(num_images)
    edges = {
        ("left", "left", "left"): (
            torch.randint(0, num_images, (num_images * K_INTRA,)),
            node.repeat_interleave(K_INTRA),
        ),
        ("right", "right", "right"): (
            torch.randint(0, LABELS, (LABELS * K_TEXT,)),
            torch.arange(LABELS).repeat_interleave(K_TEXT),
        ),
        ("left", "inter", "right"): (
            node.repeat_interleave(K_INTER),
            torch.rand(num_images, LABELS).topk(K_INTER, dim=1).indices.flatten(),
        ),
    }
    graph = dgl.heterograph(edges, {"left": num_images, "right": LABELS})
    feats = {"left": torch.randn(num_images, 512), "right": torch.randn(LABELS, 300)}
    return graph, feats


def ours(num_images: int) -> Callable[[], float]:
    import torch
    from torch.nn import functional

    from rrnet_cli.models.relation import Relation
    from rrnet_cli.models.rrnet import GraphInputs, RRNet, Shape

    graph, feats = make_inputs(num_images)
    relations = {name: Relation.of(graph[name]) for name in ("left", "right", "inter")}
    inputs = GraphInputs(relations, feats)
    net = RRNet(Shape.of(inputs), UNITS)
    target = (torch.rand(relations["inter"].num_edges) < 1 / K_INTER).float()

    def step() -> float:
        net.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(net(inputs), target)
        loss.backward()
        return loss.item()

    return step


def naive(num_images: int) -> Callable[[], float]:
    import dgl.function as fn
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    graph, feats = make_inputs(num_images)
    ends = {"left": ("left", "left"), "right": ("right", "right"), "inter": ("left", "right")}
    slices = {name: graph[name] for name in ends}

    def mlp(width: int, out: int = 16) -> nn.Sequential:
        return nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, out))

    width = {side: value.shape[1] for side, value in feats.items()}
    net = nn.ModuleDict()
    for side in feats:
        net[f"node {side}"] = mlp(width[side])
    for name, (a, b) in ends.items():
        net[f"edge {name}"] = mlp(width[a] + width[b])
    for i in range(len(UNITS)):
        for name in ends:
            net[f"{i} edge {name}"] = mlp(32 if name == "inter" else 48)
        net[f"{i} kernel"] = nn.Linear(32, 16, bias=False)
        for side in feats:
            net[f"{i} node {side}"] = mlp(32)
    net["decoder"] = mlp(16, 1)
    target = (torch.rand(slices["inter"].num_edges()) < 1 / K_INTER).float()

    def pair(name: str, nodes: dict[str, Tensor]) -> Tensor:
        part, (a, b) = slices[name], ends[name]
        with part.local_scope():
            part.srcnodes[a].data["x"] = nodes[a]
            part.dstnodes[b].data["y"] = nodes[b]
            part.apply_edges(lambda e: {"z": torch.cat([e.src["x"], e.dst["y"]], dim=1)})
            return part.edata["z"]

    def mean(name: str, edge_feat: Tensor, reverse: bool = False) -> Tensor:
        part = slices[name].reverse() if reverse else slices[name]
        with part.local_scope():
            part.edata["e"] = edge_feat
            part.update_all(fn.copy_e("e", "m"), fn.mean("m", "v"))
            return part.dstdata["v"]

    def forward() -> Tensor:
        nodes = {side: net[f"node {side}"](value) for side, value in feats.items()}
        edges = {name: net[f"edge {name}"](pair(name, feats)) for name in ends}
        for i, unit in enumerate(UNITS):
            if unit == "intra":
                for name in ("left", "right"):
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

    def step() -> float:
        net.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(forward(), target)
        loss.backward()
        return loss.item()

    return step


def child(which: str, num_images: int, steps: int) -> None:
    if which == "ours":
        from rrnet_cli import runtime

        runtime.prepare()
    step = {"ours": ours, "naive": naive}[which](num_images)
    step()
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": sorted(times)[len(times) // 2], "peak_gib": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--child", choices=["ours", "naive"])
    options = parser.parse_args()
    if options.child:
        child(options.child, options.images, options.steps)
        return
    result = {}
    for which in ("ours", "naive"):
        command = [sys.executable, __file__, "--child", which]
        command += ["--images", str(options.images), "--steps", str(options.steps)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result[which] = json.loads(done.stdout.splitlines()[-1])
    result["naive_over_ours"] = {
        key: result["naive"][key] / result["ours"][key] for key in ("seconds", "peak_gib")
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
