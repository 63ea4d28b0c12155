"""An epoch of sampled training by two processes of one thread against one process of two.

    python benchmarks/ddp.py [--nodes 60000] [--batch 1024] [--fanout 10,5] [--rounds 3]
                             [--json PATH]

Both train the same network on the same generated graph by `rrnet_cli.training.loop.fit`, as `rrnet
train --preset plus` does: 512 numbers an instance, 20 random neighbours, 15 of 100 labels as
candidates, five units. The second epoch counts, from the first's end to its own, select metrics on
the full graph included. They run in turn, each in processes of its own; `ddp_2_vs_1` is the median
over rounds of the time of the one process over that of the two: above 1, two are faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared.report import add_json, answer, emit, in_process, peak_gib, rounded

UNITS = ("intra", "inter", "intra", "inter", "inter")
WIDTHS, NEIGHBOURS, CANDIDATES, LABELS = (512, 300), 20, 15, 100
PROCESSES = 2
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES))
RUNS = {"one_process": 1, "two_processes": PROCESSES}
"""How many processes; all have as many threads together."""


class Clock:
    """A reporter that keeps when each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    @contextmanager
    def task(self, *facts: object, **more: object) -> Iterator[Clock]:
        yield self

    def advance(self, steps: int = 1, status: str = "") -> None:
        self.ends.append(time.perf_counter())

    def note(self, message: str) -> None:
        """Nobody reads it."""


def problem_of(nodes: int) -> Any:
    """Instances around their label's vector, random neighbours, candidates by chance."""
    import dgl
    import torch

    from rrnet_cli.datasets.base import FIT, SELECT
    from rrnet_cli.training.problem import assemble

    torch.manual_seed(0)
    text = torch.randn(LABELS, WIDTHS[1])
    label = torch.randint(LABELS, (nodes,))
    image = torch.randn(LABELS, WIDTHS[0])[label] + 4 * torch.randn(nodes, WIDTHS[0])
    prior = torch.randn(nodes, LABELS)
    prior[torch.arange(nodes), label] += 2
    prior = prior.log_softmax(1)
    src = torch.arange(nodes).repeat_interleave(CANDIDATES)
    dst = prior.topk(CANDIDATES, dim=1).indices.flatten()
    order = torch.argsort(dst * nodes + src)
    src, dst = src[order], dst[order]
    ends = (
        torch.randint(nodes, (nodes * NEIGHBOURS,)),
        torch.arange(nodes).repeat_interleave(NEIGHBOURS),
    )
    graph = dgl.heterograph(
        {("image", "intra", "image"): ends, ("image", "inter", "text"): (src, dst)},
        {"image": nodes, "text": LABELS},
    )
    graph.edges["intra"].data["weight"] = torch.rand(nodes * NEIGHBOURS)
    role = torch.where(torch.arange(nodes) % 10 == 0, SELECT, FIT).to(torch.int8)
    graph.edges["inter"].data.update(
        prior=prior[src, dst], target=(label[src] == dst).float(), role=role[src]
    )
    return assemble(graph, ("image", "text"), {"image": image, "text": text}, None, "standard")


def train(options: argparse.Namespace) -> None:
    """Two epochs in this process and those that torchrun started with it."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(options.threads)
    from rrnet_cli import runtime

    runtime.prepare()
    import torch

    from rrnet_cli.settings import TrainSettings
    from rrnet_cli.training.loop import fit
    from rrnet_cli.training.processes import join

    settings = TrainSettings.model_validate(
        {
            **{"units": UNITS, "epochs": 2, "optimizer": "adamw", "lr": 0.01, "prior": "residual"},
            **{"context": True, "votes": True, "objective": "softmax"},
            **{"batch_size": options.batch, "fanout": tuple(map(int, options.fanout.split(",")))},
        }
    )
    group, clock = join(), Clock()
    fit(
        problem_of(options.nodes),
        settings,
        workspace=None,
        resume=False,
        reporter=clock,
        group=group,
    )
    if group.leads:
        seconds = clock.ends[1] - clock.ends[0]
        answer(
            {"seconds": seconds, "peak_gib": peak_gib(), "threads_each": torch.get_num_threads()}
        )
    sys.stdout.flush()
    os._exit(0)  # see `join`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=60_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--fanout", default="10,5")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.threads is not None:
        train(options)
        return
    words = [f"--{name}={getattr(options, name)}" for name in ("nodes", "batch", "fanout")]
    rounds = []
    for _ in range(options.rounds):
        found = {}
        for name, processes in RUNS.items():
            command = [*(TORCHRUN if processes > 1 else ()), __file__, *words]
            found[name] = in_process(*command, f"--threads={PROCESSES // processes}")
        rounds.append(found)
    ratios = [r["one_process"]["seconds"] / r["two_processes"]["seconds"] for r in rounds]
    record: dict[str, Any] = {"ddp_2_vs_1": statistics.median(ratios), "ratios": ratios}
    record |= {
        "nodes": options.nodes,
        "batch": options.batch,
        "fanout": tuple(map(int, options.fanout.split(","))),
    }
    for name in RUNS:
        record[name] = {
            key: statistics.median(r[name][key] for r in rounds) for key in rounds[0][name]
        }
    emit(rounded(record), options)


if __name__ == "__main__":
    main()
