"""Megabytes a second into and out of the store, against plain pyarrow and safetensors.

A table of edges and a matrix of features of generated numbers, each as an artifact of its own and
as a bare file: same library, same compression, caches warm. An artifact costs more on purpose:
`write` syncs to the disk, digests what it wrote and renames it into place; `read` digests every
byte. `plain` does nothing of that; `synced` is `plain` with `fsync`. Rates are of the bytes in
memory; all that is read is summed, since tensors are mapped. Variants alternate; medians of rounds,
ratios of the rounds' own.

    python benchmarks/store.py [--megabytes 128] [--rounds 5] [--folder DIR] [--json PATH]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import safetensors.numpy
import safetensors.torch
from shared.report import add_json, emit, rounded, timed

from rrnet_cli.store import Artifact, Draft, Key, Store

WIDTH = 512


def make_table(num_bytes: int) -> pa.Table:
    """Edges as the store keeps them: src, dst, weight; sorted by dst."""
    rng = np.random.default_rng(0)
    rows = num_bytes // 20
    return pa.table(
        {
            "src": rng.integers(0, 60_000, rows),
            "dst": np.sort(rng.integers(0, 60_000, rows)),
            "weight": rng.random(rows, dtype=np.float32),
        }
    )


def make_matrix(num_bytes: int) -> np.ndarray:
    """Features: (rows, 512) float32."""
    rows = num_bytes // (4 * WIDTH)
    return np.random.default_rng(0).standard_normal((rows, WIDTH), dtype=np.float32)


def sum_table(table: pa.Table) -> float:
    return sum(float(np.sum(column.to_numpy())) for column in table.columns)


def sum_tensors(tensors: dict[str, Any]) -> float:
    return sum(float(tensor.sum()) for tensor in tensors.values())


def sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


class Case:
    """One content: how the store and the plain library write and read it."""

    def __init__(
        self,
        name: str,
        put: Callable[[Draft], None],
        get: Callable[[Artifact], object],
        put_plain: Callable[[Path], None],
        get_plain: Callable[[Path], object],
    ) -> None:
        self.name, self.put, self.get = name, put, get
        self.put_plain, self.get_plain = put_plain, get_plain

    def seconds(self, folder: Path) -> dict[str, float]:
        """Write and read by each way, into files that were not there."""
        store, key = Store(folder / "store"), Key("features", self.name, {}, {}, None)
        plain, synced = folder / "plain", folder / "synced"

        def put_synced() -> None:
            self.put_plain(synced)
            sync(synced)

        found = {"plain_write": timed(lambda: self.put_plain(plain))}
        sync(plain)  # its bytes are not to be written out while others are timed
        found["synced_write"] = timed(put_synced)
        found["store_write"] = timed(lambda: store.materialise(key, self.put))
        found["plain_read"] = timed(lambda: self.get_plain(plain))
        found["store_read"] = timed(lambda: self.get(store.open(key.ref)))
        return found


def cases(num_bytes: int) -> list[tuple[Case, int]]:
    """The contents, with their bytes in memory."""
    table, matrix = make_table(num_bytes), make_matrix(num_bytes)
    parquet_case = Case(
        "parquet",
        lambda draft: draft.write_table("edges.parquet", table),
        lambda artifact: sum_table(artifact.table("edges.parquet")),
        lambda path: parquet.write_table(table, path, compression="zstd"),
        lambda path: sum_table(parquet.read_table(path)),
    )
    tensor_case = Case(
        "safetensors",
        lambda draft: draft.write_tensors("features.safetensors", {"x": matrix}),
        lambda artifact: sum_tensors(artifact.tensors("features.safetensors")),
        lambda path: safetensors.numpy.save_file({"x": matrix}, path),
        lambda path: sum_tensors(safetensors.torch.load_file(path)),
    )
    return [(parquet_case, table.nbytes), (tensor_case, matrix.nbytes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=128, help="of each content")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary one)")
    add_json(parser)
    options = parser.parse_args()
    record: dict[str, Any] = {"rounds": options.rounds}
    for case, num_bytes in cases(options.megabytes * 10**6):
        rounds = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                rounds.append(case.seconds(Path(folder)))
        record[case.name] = {
            "megabytes": num_bytes / 1e6,
            "megabytes_per_second": {
                way: statistics.median(num_bytes / 1e6 / each[way] for each in rounds)
                for way in rounds[0]
            },
            "store_over_plain": {
                f"{done}_seconds": statistics.median(
                    each[f"store_{done}"] / each[f"{peer}_{done}"] for each in rounds
                )
                for done, peer in (("write", "synced"), ("read", "plain"))
            },
        }
    emit(rounded(record), options)


if __name__ == "__main__":
    main()
