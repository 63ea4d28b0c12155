"""A step on a sample: what it costs as the graph grows.

    python benchmarks/sampling.py [--nodes 60000 600000 3000000] [--batch 1024] [--fanout 10,5]
                                  [--json PATH]

Writes one JSON object: the graphs, and the b of epoch = a · edges^b over them, an epoch having
nodes / batch steps. A graph has random neighbours (10 a node) and candidates (10 of 100 labels),
128 numbers a node, units inter, intra, inter of width 16. Nodes and edges of the subgraphs, and
processor seconds of sampling and of a forward and backward pass, are medians of 15 steps.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator

import dgl
import torch
from shared.limit import growth_exponent
from shared.report import add_json, emit

from rrnet_cli.models import engines
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rrnet import INTER, LEFT, RIGHT, GraphInputs, RRNet, Shape
from rrnet_cli.training.objectives import training_loss
from rrnet_cli.training.sampling import Batch, batches

UNITS = ("inter", "intra", "inter")
NEIGHBOURS, CANDIDATES, LABELS, WIDTH, STEPS = 10, 10, 100, 128, 15


def made(nodes: int) -> tuple[Batch, torch.Tensor]:
    """The full graph, edges in the order of their targets, and the owner of each inter-edge."""
    torch.manual_seed(0)
    ends = torch.randint(nodes, (nodes * NEIGHBOURS,)), torch.arange(nodes * NEIGHBOURS) % nodes
    intra = dgl.heterograph({(LEFT, LEFT, LEFT): (ends[0], ends[1].sort().values)}, {LEFT: nodes})
    owner = torch.arange(nodes * CANDIDATES) % nodes
    label = torch.randint(LABELS, owner.shape).sort().values
    inter = dgl.heterograph({(LEFT, INTER, RIGHT): (owner, label)}, {LEFT: nodes, RIGHT: LABELS})
    inputs = GraphInputs(
        {LEFT: Relation.of(intra), INTER: Relation.of(inter)},
        {LEFT: torch.randn(nodes, WIDTH), RIGHT: torch.randn(LABELS, WIDTH)},
    )
    every = torch.ones(len(owner), dtype=torch.bool)
    return Batch(inputs, torch.rand(len(owner)), every, None), owner


def measured(parts: Iterator[Batch], network: RRNet) -> tuple[float, ...]:
    """One step: nodes and edges of its sample, seconds of sampling and of the rest."""
    start = time.process_time()
    batch = next(parts)
    sampled = time.process_time()
    training_loss(batch, network(batch.inputs), "bce", "sum").backward()
    ended = time.process_time()
    edges = sum(relation.num_edges for relation in batch.inputs.relations.values())
    return batch.inputs.node_feat[LEFT].shape[0], edges, sampled - start, ended - sampled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[60_000, 600_000, 3_000_000])
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--fanout", default="10,5")
    add_json(parser)
    options = parser.parse_args()
    fanout = [int(count) for count in options.fanout.split(",")]
    graphs = {}
    for nodes in options.nodes:
        whole, owner = made(nodes)
        network = RRNet(Shape.of(whole.inputs), UNITS, engine=engines.choose())
        parts = itertools.chain.from_iterable(
            batches(whole, owner, options.batch, fanout, UNITS) for _ in itertools.count()
        )
        # DGL sorts its indices, and kernels are read or compiled, when they are first asked for.
        steps = [measured(parts, network) for _ in range(1 + STEPS)][1:]
        num_nodes, num_edges, sample, step = (
            statistics.median(each) for each in zip(*steps, strict=True)
        )
        graphs[str(nodes)] = {
            "edges": sum(relation.num_edges for relation in whole.inputs.relations.values()),
            "sampled_nodes": num_nodes,
            "sampled_edges": num_edges,
            "sample_cpu_seconds": round(sample, 4),
            "step_cpu_seconds": round(step, 4),
            "epoch_cpu_seconds": round((sample + step) * nodes / options.batch, 2),
        }
    record = {"batch": options.batch, "fanout": fanout, "threads": torch.get_num_threads()}
    exponent = {}
    if len(graphs) > 1:
        counts, epochs = zip(
            *((one["edges"], one["epoch_cpu_seconds"]) for one in graphs.values()), strict=True
        )
        exponent = {"growth_exponent": growth_exponent(counts, epochs)}
    emit(record | exponent | {"graphs": graphs}, options)


if __name__ == "__main__":
    main()
