"""Nearest neighbours: exact, approximate, and a peer's exact search, in one run.

    python benchmarks/knn.py [--nodes 10000 20000 60000] [--dim 512] [--k 20] [--metric cosine|l2]
          [--rounds 1] [--features FILE TENSOR] [--sklearn] [--alone] [--json PATH]

Writes one JSON object: the sizes, and the time of the flat search over that of the exact one at the
last. Every search is a process of its own, in turns, and medians are taken: wall and processor
seconds, peak memory, and for each the ratio to the exact search (more than 1: it takes longer).
Where other work shares the machine, look at processor seconds.

Features are drawn around 100 centres, with 32 directions of their own each, or read from a file, as
a features artifact has it. ``--alone`` leaves all but the exact search out. The flat search of
faiss takes one row in ten, and its time is multiplied: it is linear in the rows. It does not
measure again in float64, and leaves ties as they fall.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from shared.report import add_json, emit
from torch import Tensor

from rrnet_cli import runtime

if TYPE_CHECKING:
    from rrnet_cli.graphs.keys import Metric

FLAT_ONE_IN = 10


def draw_features(nodes: int, dim: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    classes, inner = 100, 32
    centres = torch.randn(classes, dim, generator=generator)
    directions = torch.randn(classes, inner, dim, generator=generator) / inner**0.5
    label = torch.randint(classes, (nodes,), generator=generator)
    features = 0.3 * torch.randn(nodes, dim, generator=generator)
    for number in range(classes):
        rows = (label == number).nonzero().squeeze(1)
        inside = torch.randn(len(rows), inner, generator=generator) @ directions[number]
        features[rows] += centres[number] + inside
    return features.relu_()


def load_features(path: str, tensor: str, nodes: int) -> Tensor:
    from safetensors.torch import load_file

    features = load_file(path)[tensor].float()
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    return features[order[:nodes]].contiguous()


def search_exact(features: Tensor, k: int, metric: Metric) -> tuple[np.ndarray, dict]:
    from rrnet_cli.graphs.knn import nearest_neighbours

    return nearest_neighbours(features, k, metric=metric).index, {}


def search_approx(features: Tensor, k: int, metric: Metric) -> tuple[np.ndarray, dict]:
    from rrnet_cli.graphs import approximate

    approximate.LEAST_NODES = 0
    found, quality = approximate.approximate_neighbours(features, k, metric=metric)
    assert quality is not None
    return found.index, {
        "lists": quality.lists, "probes": quality.probes, "recall_told": quality.recall
    }  # fmt: skip


def search_flat(features: Tensor, k: int, metric: Metric) -> tuple[np.ndarray, dict]:
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    if metric == "cosine":
        features = torch.nn.functional.normalize(features)
    kind = faiss.IndexFlatIP if metric == "cosine" else faiss.IndexFlatL2
    index = kind(features.shape[1])
    index.add(features.numpy())
    rows = torch.arange(0, len(features), FLAT_ONE_IN)
    queries = features[rows].numpy()
    cpu, wall = time.process_time(), time.perf_counter()
    _, found = index.search(queries, k + 1)
    unseen = FLAT_ONE_IN - 1
    more = {
        "rows": len(rows),
        "unseen_seconds": unseen * (time.perf_counter() - wall),
        "unseen_cpu_seconds": unseen * (time.process_time() - cpu),
    }
    others = [ids[ids != row][:k] for row, ids in zip(rows.tolist(), found, strict=True)]
    return np.stack(others), more


def search_sklearn(features: Tensor, k: int, metric: Metric) -> tuple[np.ndarray, dict]:
    from sklearn.neighbors import NearestNeighbors

    # "euclidean" is the name under which scikit-learn takes its fast path.
    name = "euclidean" if metric == "l2" else metric
    search = NearestNeighbors(n_neighbors=k, metric=name, algorithm="brute", n_jobs=-1)
    return search.fit(features.numpy()).kneighbors(return_distance=False), {}


SEARCHES: dict[str, Callable[[Tensor, int, Metric], tuple[np.ndarray, dict]]] = {
    "exact": search_exact,
    "approx": search_approx,
    "flat": search_flat,
    "sklearn": search_sklearn,
}
MODULES = {"exact": "rrnet_cli.graphs.screening", "approx": "faiss", "flat": "faiss"}
"""What is imported before the clock starts."""


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(options: argparse.Namespace) -> None:
    """What the child process does: one search of one size."""
    nodes = options.nodes[0]
    given = options.features
    features = (
        load_features(given[0], given[1], nodes) if given else draw_features(nodes, options.dim)
    )
    __import__(MODULES.get(options.child, "sklearn.neighbors"))
    before = peak_mebibytes()
    cpu, wall = time.process_time(), time.perf_counter()
    index, more = SEARCHES[options.child](features, options.k, options.metric)
    wall_used, cpu_used = time.perf_counter() - wall, time.process_time() - cpu
    record = {
        "nodes": len(features),
        "dim": features.shape[1],
        "threads": torch.get_num_threads(),
        "seconds": wall_used + more.pop("unseen_seconds", 0.0),
        "cpu_seconds": cpu_used + more.pop("unseen_cpu_seconds", 0.0),
        "peak_mib": peak_mebibytes(),
        "peak_mib_before": before,
        **more,
    }
    np.save(options.save, index)
    print(json.dumps(record))


def shared(exact: np.ndarray, other: np.ndarray) -> float:
    """Mean share of the exact neighbours that another search found too."""
    rows = exact if len(other) == len(exact) else exact[::FLAT_ONE_IN]
    pairs = zip(rows, other, strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in pairs]))


def compare(options: argparse.Namespace, nodes: int, names: list[str], folder: Path) -> dict:
    runs: dict[str, list[dict]] = {name: [] for name in names}
    given = ["--features", *options.features] if options.features else []
    for _ in range(options.rounds):
        for name in names:
            command = [sys.executable, __file__, "--child", name, "--save", str(folder / name)]
            command += ["--nodes", str(nodes), "--dim", str(options.dim), "--k", str(options.k)]
            command += ["--metric", options.metric, *given]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs[name].append(json.loads(done.stdout))
    record: dict = {"k": options.k, "metric": options.metric, "rounds": options.rounds}
    exact = np.load(folder / "exact.npy")
    for name, measured in runs.items():
        middle = {
            key: round(statistics.median(run[key] for run in measured), 3) for key in measured[0]
        }
        for key in ("nodes", "dim", "threads"):
            record[key] = middle.pop(key)
        if name != "exact":
            for key in ("seconds", "cpu_seconds"):
                middle[f"{key}_to_exact"] = round(middle[key] / record["exact"][key], 3)
            middle["recall"] = round(shared(exact, np.load(folder / f"{name}.npy")), 4)
        record[name] = middle
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[10_000, 20_000, 60_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--metric", choices=["cosine", "l2"], default="cosine")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--features", nargs=2, metavar=("FILE", "TENSOR"))
    parser.add_argument("--sklearn", action="store_true")
    parser.add_argument("--alone", action="store_true")
    add_json(parser)
    parser.add_argument("--child", choices=SEARCHES, help=argparse.SUPPRESS)
    parser.add_argument("--save", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options)
        return
    runtime.prepare()  # as `rrnet` does; searches inherit the threads and how they wait
    names = ["exact"] if options.alone else ["exact", "approx", "flat"]
    names += ["sklearn"] if options.sklearn and not options.alone else []
    sizes = {}
    for nodes in options.nodes:
        with tempfile.TemporaryDirectory() as folder:
            sizes[str(nodes)] = last = compare(options, nodes, names, Path(folder))
    record: dict = {"sizes": sizes}
    if "flat" in last:
        record["knn_vs_faiss_flat"] = last["flat"]["seconds_to_exact"]
    emit(record, options)


if __name__ == "__main__":
    main()
