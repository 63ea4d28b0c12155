"""One training step of RR-Net by every engine, against plain DGL and plain PyTorch Geometric.

All run the five units of Sec. IV-B with the same parameters on the same generated graph, each in a
process of its own, in turn, for some rounds; their first losses must agree to 1e-5, that of
`fused_bfloat16`, which keeps edge attributes in bfloat16, to 1e-3. The peers are
`shared.naive`: eqs. (1)-(8) as they stand, all concatenations built, those of raw attributes before
the clock starts. One that is not installed is left out and named (extra `bench`).

    python benchmarks/train_step.py [--size cifar100|filmtrust] [--scale 0.1 0.3 1] [--steps 3]
        [--hidden 16] [--rounds 1] [--json PATH]
        [--only fused fused_bfloat16 dgl reference naive_dgl naive_pyg]

`cifar100` is 60,000 x 512 and 100 x 300 nodes, 1.2 M intra- and 0.9 M inter-edges; `filmtrust` is
1,508 x 128 users and 2,071 x 128 items, every user with every item (3.1 M edges), and 1,853 links.
`--scale` takes that part of the instances or users; with several, growth with the edges is fitted.

Of each, the record has the median seconds of a step by the clock, its processor seconds, and the
peak memory of the process, each the median over rounds; ratios are medians of the rounds' own. The
limit (`shared.limit`) is measured by a process in every round too. At full size the naive peers
take 10 GiB: leave as much free.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from shared import limit
from shared.report import GIB, add_json, answer, emit, in_process, peak_gib, rounded, timed

UNITS = ("intra", "inter", "intra", "inter", "inter")
ENGINES = ("fused", "dgl", "reference")
NARROW = "fused_bfloat16"
"""No peer of the others: it does not compute the same."""
PEERS = {"naive_dgl": "dgl", "naive_pyg": "torch_geometric"}
RUNS = (*ENGINES, NARROW, *PEERS)
LABELS, K_INTRA, K_INTER, K_TEXT = 100, 20, 15, 3
USERS, ITEMS, LINKS = 1508, 2071, 1853
HIDDEN = 16
LOSSES_AGREE, NARROW_AGREES = 1e-5, 1e-3


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


def rrnet(graph: Any, feats: dict[str, Any], which: str, hidden: int) -> tuple[Any, Any]:
    """RR-Net and its inputs; the same parameters for every engine."""
    import torch

    from rrnet_cli.models import engines
    from rrnet_cli.models.relation import Relation
    from rrnet_cli.models.rrnet import GraphInputs, RRNet, Shape

    inputs = GraphInputs({name: Relation.of(graph[name]) for name in graph.etypes}, feats)
    torch.manual_seed(1)
    name, _, storage = which.partition("_")
    engine = engines.choose(name, getattr(torch, storage) if storage else None)
    return RRNet(Shape.of(inputs), UNITS, hidden, engine=engine), inputs


def sizes_of(graph: Any, feats: dict[str, Any], hidden: int) -> limit.Sizes:
    """What the limit is counted from."""
    return limit.Sizes(
        nodes={side: len(value) for side, value in feats.items()},
        widths={side: value.shape[1] for side, value in feats.items()},
        edges={name: graph.num_edges(name) for name in graph.etypes},
        units=UNITS,
        hidden=hidden,
    )


def forward_of(
    which: str, graph: Any, feats: dict[str, Any], hidden: int
) -> tuple[Any, Callable[[], Any]]:
    """The parameters of a run, and its forward pass."""
    from shared import naive

    if which not in PEERS:
        net, inputs = rrnet(graph, feats, which, hidden)
        return net, lambda: net(inputs)
    net = naive.naive_network(rrnet(graph, feats, "dgl", hidden)[0])
    build = naive.with_dgl if which == "naive_dgl" else naive.with_pyg
    return net, build(net, UNITS, graph, feats)


def run_steps(which: str, size: str, scale: float, hidden: int, steps: int) -> dict[str, Any]:
    """Steps of one engine or peer, in this process."""
    from rrnet_cli import runtime

    # The allocator is tuned by `rrnet`, so for the engines alone; threads are the same for all.
    runtime.prepare() if which not in PEERS else runtime.limit_threads()
    import torch
    from torch.nn import functional

    graph, feats = make_inputs(size, scale)
    sizes = sizes_of(graph, feats, hidden)
    target = (torch.rand(graph.num_edges("inter")) < 1 / K_INTER).float()
    net, forward = forward_of(which, graph, feats, hidden)

    def step() -> float:
        net.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(forward(), target)
        loss.backward()
        return float(loss)

    before = peak_gib()
    loss = step()
    clock, processor = [], []
    for _ in range(steps):
        start = time.process_time()
        clock.append(timed(step))
        processor.append(time.process_time() - start)
    return {
        "seconds": statistics.median(clock),
        "cpu_seconds": statistics.median(processor),
        "peak_gib": peak_gib(),
        "peak_gib_before": before,
        "loss": loss,
        "threads": torch.get_num_threads(),
        "edges": sizes.num_edges,
        "state_bytes": limit.step_bytes(sizes),
        "flops": limit.step_flops(sizes),
    }


def measure_rates() -> dict[str, Any]:
    """Bytes read and written a second by a copy, and operations a second by sgemm: the best."""
    from rrnet_cli import runtime

    runtime.prepare()
    import torch

    source, matrix = torch.rand(GIB // 8), torch.rand(4096, 4096)
    copy, product = torch.empty_like(source), torch.empty_like(matrix)
    moved, operations = 2 * source.numel() * source.element_size(), 2 * len(matrix) ** 3
    return {
        "copy_bytes_per_second": moved / min(timed(lambda: copy.copy_(source)) for _ in range(9)),
        "sgemm_flops_per_second": operations
        / min(timed(lambda: torch.mm(matrix, matrix, out=product)) for _ in range(5)),
    }


def median_of(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Value by value; what is the same in all stays what it is."""
    return {
        key: value
        if all(record[key] == value for record in records)
        else statistics.median(record[key] for record in records)
        for key, value in records[0].items()
    }


def check_losses(found: dict[str, dict[str, Any]]) -> None:
    """End the benchmark if its runs did not compute the same."""
    losses = {which: record["loss"] for which, record in found.items()}
    first = next(iter(losses.values()))
    allowed = {which: NARROW_AGREES if which == NARROW else LOSSES_AGREE for which in losses}
    if not all(abs(loss - first) <= allowed[which] * abs(first) for which, loss in losses.items()):
        sys.exit(f"the losses do not agree: {losses}")


def summary(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Medians of one size over rounds, the ratios to each engine, and the distance to the limit."""
    found: dict[str, Any] = {which: median_of([r[which] for r in rounds]) for which in rounds[0]}
    runs = [which for which in found if which != "rates"]
    for engine in [which for which in runs if which in ENGINES]:
        for other in [which for which in runs if which != engine]:
            found[f"{other}_over_{engine}"] = {
                key: statistics.median(r[other][key] / r[engine][key] for r in rounds)
                for key in ("seconds", "cpu_seconds", "peak_gib")
            }
    counted = found[runs[0]]
    by_copy = [counted["state_bytes"] / r["rates"]["copy_bytes_per_second"] for r in rounds]
    by_sgemm = [counted["flops"] / r["rates"]["sgemm_flops_per_second"] for r in rounds]
    least = [max(pair) for pair in zip(by_copy, by_sgemm, strict=True)]
    found["limit"] = {
        "seconds": statistics.median(least),
        "copy_seconds": statistics.median(by_copy),
        "sgemm_seconds": statistics.median(by_sgemm),
    }
    for which in runs:
        shares = [r[which]["seconds"] / one for r, one in zip(rounds, least, strict=True)]
        found[which]["over_limit"] = statistics.median(shares)
    return found


def flat_keys(size: str, by_scale: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The figures of `bench.json`, under its names: the fastest engine's, at the largest size."""
    largest = list(by_scale.values())[-1]
    engines = [which for which in ENGINES if which in largest]
    if not engines:
        return {}
    best = min(engines, key=lambda which: largest[which]["seconds"])
    against = {
        peer: ratio for peer in PEERS if (ratio := largest.get(f"{peer}_over_{best}")) is not None
    }
    name = "step_vs_{}" if size == "cifar100" else "step_filmtrust_vs_{}"
    keys = {name.format(peer): ratio["seconds"] for peer, ratio in against.items()}
    if size != "cifar100":
        return keys
    if against:  # the leaner peer counts
        keys["step_memory_ratio"] = min(ratio["peak_gib"] for ratio in against.values())
    keys["step_vs_bandwidth_limit"] = largest[best]["over_limit"]
    if len(by_scale) > 1:
        keys["full_graph_exponent"] = exponent(best, by_scale)
    return keys


def exponent(which: str, by_scale: dict[str, dict[str, Any]]) -> float:
    """Of time against edges, over the sizes."""
    records = [found[which] for found in by_scale.values()]
    return limit.growth_exponent(
        [record["edges"] for record in records], [record["seconds"] for record in records]
    )


def main() -> None:
    options = parse()
    if options.child:
        answer(
            measure_rates()
            if options.child == "rates"
            else run_steps(
                options.child, options.size, options.scale[0], options.hidden, options.steps
            )
        )
        return
    missing = [
        peer
        for peer, package in PEERS.items()
        if peer in options.only and importlib.util.find_spec(package) is None
    ]
    if missing:
        sys.stderr.write(f"not installed: {', '.join(missing)} (pip install 'rrnet[bench]')\n")
    runs = [run for run in RUNS if run in options.only and run not in missing]
    scales = sorted(set(options.scale))
    rounds: dict[float, list[dict[str, dict[str, Any]]]] = {scale: [] for scale in scales}
    for _ in range(options.rounds):
        for scale in scales:
            words = ["--size", options.size, "--scale", str(scale), "--steps", str(options.steps)]
            words += ["--hidden", str(options.hidden)]
            found = {run: in_process(__file__, "--child", run, *words) for run in runs}
            check_losses(found)
            found["rates"] = in_process(__file__, "--child", "rates")
            rounds[scale].append(found)
    by_scale = {f"{scale:g}": summary(done) for scale, done in rounds.items()}
    record: dict[str, Any] = flat_keys(options.size, by_scale) if options.hidden == HIDDEN else {}
    record |= {
        "size": options.size,
        "hidden": options.hidden,
        "rounds": options.rounds,
        "steps": options.steps,
    }
    record |= {"not_installed": missing, "scales": by_scale}
    if len(scales) > 1:
        record["exponents"] = {run: exponent(run, by_scale) for run in runs}
    emit(rounded(record), options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["cifar100", "filmtrust"], default="cifar100")
    parser.add_argument("--scale", type=float, nargs="+", default=[1.0])
    parser.add_argument("--hidden", type=int, default=HIDDEN, help="width of every latent")
    parser.add_argument("--steps", type=int, default=3, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=RUNS, default=RUNS)
    parser.add_argument("--child", choices=(*RUNS, "rates"), help=argparse.SUPPRESS)
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
