"""Exact k nearest neighbours: rrnet against scikit-learn's brute force, in one run.

    python benchmarks/knn.py [--nodes 20000] [--dim 512] [--k 20] [--metric cosine|l2]
        [--json PATH]

Writes one JSON object: seconds of both, their ratio, how many neighbours they share, and the peak
memory of the process after ours. ``--alone`` leaves the peer out (60,000 nodes need no peer).
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch
from shared.report import add_json, emit

from rrnet_cli.graphs.knn import nearest_neighbours


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--metric", choices=["cosine", "l2"], default="cosine")
    parser.add_argument("--alone", action="store_true")
    add_json(parser)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(options.nodes, options.dim, generator=generator)
    before = peak_mebibytes()
    cpu, wall = time.process_time(), time.perf_counter()
    ours = nearest_neighbours(features, options.k, metric=options.metric)
    record: dict[str, object] = {
        **{name: getattr(options, name) for name in ("nodes", "dim", "k", "metric")},
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_mib": round(peak_mebibytes()),
        "peak_mib_before": round(before),
    }
    if not options.alone:
        from sklearn.neighbors import NearestNeighbors

        cpu, wall = time.process_time(), time.perf_counter()
        # "euclidean" is the name under which scikit-learn takes its fast path.
        metric = "euclidean" if options.metric == "l2" else options.metric
        search = NearestNeighbors(
            n_neighbors=options.k, metric=metric, algorithm="brute", n_jobs=-1
        )
        theirs = search.fit(features.numpy()).kneighbors(return_distance=False)
        seconds = time.perf_counter() - wall
        record["sklearn_seconds"] = round(seconds, 2)
        record["sklearn_cpu_seconds"] = round(time.process_time() - cpu, 2)
        record["ratio"] = round(seconds / float(str(record["seconds"])), 2)
        same = np.sort(ours.index, axis=1) == np.sort(theirs, axis=1)
        record["shared_rows"] = float(same.all(axis=1).mean())
    emit(record, options)


if __name__ == "__main__":
    main()
