"""Training and evaluation on a graph that is large beside its batches: start, steps, peak memory.

    python benchmarks/large.py [--nodes 5000000] [--batch 1024] [--fanout 10,5] [--preset paper]
                               [--folder DIR] [--keep] [--json PATH]

A random graph, as artifacts in a store of its own: 10 neighbours and 10 candidates of 100 labels a
node, 128 numbers of float16 each; 8 in 10 nodes are `fit`, one `select`, one `test`. `train` does
in a process of its own what `rrnet train` does: `start_seconds` goes from before the imports to the
end of the first step, `step_seconds` is the mean of the next ones, and `select_seconds` is for the
select metrics, by a forward pass over all edges. `eval` is another process, which scores every
inter-edge as `rrnet eval` does. `peak_gib` is the largest resident memory of a process (ru_maxrss):
pages of mapped files that were read count in it, though the system takes them back when memory is
short; `mapped_gib` is how much of what was resident at the end are such pages.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

from shared.report import add_json, answer, emit, in_process, peak_gib, rounded

BEGAN = time.perf_counter()  # and processor time counts from the start of the process
NEIGHBOURS, CANDIDATES, LABELS, WIDTH, STEPS, ROWS = 10, 10, 100, 128, 20, 2**18
NAME = "large"


def make(folder: Path, nodes: int) -> dict[str, Any]:
    """Write features and graph into a store."""
    import numpy as np
    import pyarrow as pa

    from rrnet_cli.store import Draft, Key, Store

    rng = np.random.default_rng(0)
    label = rng.integers(LABELS, size=nodes)
    role = np.resize(np.array(["fit"] * 8 + ["select", "test"]), nodes)
    # the true label and nine others, in the order of labels and then of nodes
    away = np.argsort(rng.random((LABELS * 100, LABELS - 1), np.float32))[:, : CANDIDATES - 1] + 1
    away = away[rng.integers(len(away), size=nodes)].astype(np.int16)
    dst = np.concatenate([label[:, None], (label[:, None] + away) % LABELS], axis=1)
    dst = dst.astype(np.uint8).ravel()
    order = np.argsort(dst, kind="stable")

    def features(draft: Draft) -> None:
        parts = [(first, min(first + ROWS, nodes)) for first in range(0, nodes, ROWS)]
        with tempfile.TemporaryFile(dir=draft.folder.parent) as file:
            matrix = np.memmap(file, np.float16, "w+", shape=(nodes, WIDTH))
            for first, last in parts:
                matrix[first:last] = rng.standard_normal((last - first, WIDTH), np.float32)
            text = rng.standard_normal((LABELS, WIDTH), np.float32)
            draft.write_tensors("features.safetensors", {"node": matrix, "text": text})
        logits = np.zeros((nodes, LABELS), np.float16)
        for first, last in parts:
            logits[first:last] = rng.standard_normal((last - first, LABELS), np.float32)
        draft.write_tensors("prior.safetensors", {"logits": logits})
        ids = [f"n{number}" for number in range(nodes)]
        draft.write_table("instances.parquet", pa.table({"id": ids, "label": label, "role": role}))
        draft.write_table("labels.parquet", pa.table({"name": [str(i) for i in range(LABELS)]}))
        facts = {"task": "classification", "left": "node", "right": "text"}
        draft.summary.update({**facts, "dataset": NAME, "backbone": "none"})

    def graph(draft: Draft) -> None:
        steps = rng.integers(1, max(2, nodes // NEIGHBOURS), size=(nodes, NEIGHBOURS)).cumsum(1)
        source = np.sort((np.arange(nodes)[:, None] + steps) % nodes, axis=1).ravel()
        table = {
            "src": source,
            "dst": np.repeat(np.arange(nodes), NEIGHBOURS),
            "weight": rng.random(len(source), np.float32),
        }
        draft.write_table("edges/node.intra.node.parquet", pa.table(table))
        del table, steps, source
        src = order // CANDIDATES
        target = (order % CANDIDATES == 0).astype(np.float32)
        roles = role[src]
        target[roles == "test"] = np.nan
        columns = {
            "src": src,
            "dst": dst[order].astype(np.int64),
            "weight": np.ones(len(src), np.float32),
            "prior": np.log(rng.random(len(src), np.float32) + 0.01),
            "target": pa.array(target, from_pandas=False),
            "role": pa.array(["fit", "select", "test"]).take(
                pa.array((roles == "select") + 2 * (roles == "test").astype(np.int8))
            ),
        }
        draft.write_table("edges/node.inter.text.parquet", pa.table(columns))

    store = Store(folder)
    params: dict[str, Any] = {"data": {"nodes": nodes}, "seed": 0}
    made = store.materialise(Key(kind="features", name=NAME, params=params), features).artifact
    inputs = {"features": made.ref}
    edges = store.materialise(Key(kind="graph", name=NAME, params={}, inputs=inputs), graph)
    files = {**made.manifest.files, **edges.artifact.manifest.files}
    return {name: record.size / 1e6 for name, record in files.items()}


def trained(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Start a training as the stage does, take some steps, and look at the memory."""
    from rrnet_cli.runtime import prepare

    prepare()
    from rrnet_cli.stages._problem import load_problem
    from rrnet_cli.stages.train import model_key
    from rrnet_cli.store import Store
    from rrnet_cli.training import loop
    from rrnet_cli.training.draws import Draws
    from rrnet_cli.training.network import Network
    from rrnet_cli.training.processes import ALONE

    settings = settings_of(options)
    store = Store(folder)
    graph, features = store.resolve("graph", NAME), store.resolve("features", NAME)
    problem = load_problem(graph, features, settings)
    record = {"loaded_peak_gib": peak_gib()}
    network = Network(problem, settings)
    optimizer = loop.make_optimizer(network, settings)
    whole = loop._whole(network, problem, Draws(problem, settings).of(1))
    parts = iter(loop._batches(whole, problem.owner, settings, ALONE))
    loop.step(network, next(parts), optimizer, 1)
    record |= since("start", (BEGAN, 0.0))
    began = now()
    taken = [loop.step(network, part, optimizer, 1) for part in itertools.islice(parts, STEPS)]
    record |= since("step", began, max(1, len(taken)))
    record |= {"steps_peak_gib": peak_gib()}
    del whole, parts
    began = now()
    loop.evaluate(network, problem)
    record |= since("select", began) | memory()

    def write(draft: Any) -> None:
        draft.write_tensors("model.safetensors", network.state_dict())

    store.materialise(model_key(settings, graph, features, NAME), write)
    return record


def evaluated(folder: Path) -> dict[str, Any]:
    """Score all inter-edges in a process of its own."""
    from rrnet_cli.runtime import prepare

    prepare()
    from rrnet_cli.stages.scoring import score
    from rrnet_cli.store import Store

    store = Store(folder)
    score(store, store.resolve("model", NAME))
    return since("score", (BEGAN, 0.0)) | memory()


def settings_of(options: argparse.Namespace) -> Any:
    from rrnet_cli.settings import PLUS, TrainSettings

    changes: dict[str, Any] = dict(PLUS) if options.preset == "plus" else {}
    fanout = [int(count) for count in options.fanout.split(",")]
    changes |= {"batch_size": options.batch, "fanout": fanout}
    return TrainSettings.model_validate(changes)


def now() -> tuple[float, float]:
    """By the clock, and of the processor."""
    return time.perf_counter(), time.process_time()


def since(name: str, began: tuple[float, float], count: int = 1) -> dict[str, float]:
    """Seconds that passed, and those of the processor, for each of `count` things."""
    clock, processor = ((end - start) / count for start, end in zip(began, now(), strict=True))
    return {f"{name}_seconds": clock, f"{name}_cpu_seconds": processor}


def memory() -> dict[str, float]:
    """Peak of this process, and what of its memory now are pages of mapped files."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (mapped,) = (int(line.split()[1]) for line in lines if line.startswith("RssFile:"))
    return {"peak_gib": peak_gib(), "mapped_gib": mapped / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5_000_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--fanout", default="10,5")
    parser.add_argument("--preset", choices=["paper", "plus"], default="paper")
    parser.add_argument(
        "--folder", type=Path, help="where the store is, instead of a temporary one"
    )
    parser.add_argument("--only", choices=["make", "train", "eval"], help=argparse.SUPPRESS)
    add_json(parser)
    options = parser.parse_args()
    if options.only is not None:
        work = {
            "make": lambda: make(options.folder, options.nodes),
            "train": lambda: trained(options.folder, options),
            "eval": lambda: evaluated(options.folder),
        }
        answer(work[options.only]())
        return
    words = ["--nodes", str(options.nodes), "--batch", str(options.batch)]
    words += ["--fanout", options.fanout, "--preset", options.preset]
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = options.folder or temporary
        record: dict[str, Any] = {
            "nodes": options.nodes,
            "edges": options.nodes * (NEIGHBOURS + CANDIDATES),
            "batch": options.batch,
            "fanout": options.fanout,
            "preset": options.preset,
        }
        for name, key in (("make", "megabytes"), ("train", "train"), ("eval", "eval")):
            record[key] = in_process(__file__, *words, "--folder", str(folder), "--only", name)
    emit(rounded(record), options)


if __name__ == "__main__":
    main()
