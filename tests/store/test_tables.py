from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as run_settings
from hypothesis import strategies as st

from rrnet_cli.errors import ArtifactCorruptError
from rrnet_cli.store import Artifact, Store, tables
from rrnet_cli.store.manifest import FileRecord
from tests.conftest import ROOT
from tests.store.samples import make_key, plant

shared = run_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def record_of(fields: dict[str, Any]) -> FileRecord:
    return FileRecord(size=0, sha256="0" * 64, **fields)


def edges(count: int = 3000) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "src": rng.integers(0, 500, count),
            "weight": rng.random(count, dtype="f4"),
            "role": pa.array(["fit", "none", "test"] * (count // 3)),
        }
    )


def test_a_table_comes_back_the_same(tmp_path: Path) -> None:
    table = edges()
    record = record_of(tables.write_table(tmp_path / "t.parquet", table))
    data = (tmp_path / "t.parquet").read_bytes()
    assert record.rows == 3000
    assert record.columns == (("src", "int64"), ("weight", "float"), ("role", "string"))
    assert tables.read_table(data, record).equals(table)
    assert tables.read_table(data, record, ["weight"]).equals(table.select(["weight"]))


def test_a_table_comes_back_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = edges(2**20 + 2)
    record = record_of(tables.write_table(path, table))
    parts = list(tables.read_parts(path, record))
    assert len(parts) == 2 and pa.concat_tables(parts).equals(table)
    bad = record.model_copy(update={"rows": 7})
    with pytest.raises(ValueError, match="its manifest says 7"):
        next(tables.read_parts(path, bad))


def test_no_thread_of_arrows_holds_the_bytes_after_a_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that lets go while the interpreter ends aborts the process, now and then."""
    given = []

    class Spy(pq.ParquetFile):  # type: ignore[misc]
        def read(self, **options: Any) -> pa.Table:
            given.append(options["use_threads"])
            return super().read(**options)

    monkeypatch.setattr(pq, "ParquetFile", Spy)
    record = record_of(tables.write_table(tmp_path / "t.parquet", edges()))
    tables.read_table((tmp_path / "t.parquet").read_bytes(), record)
    assert given == [False]


def test_bytes_do_not_depend_on_the_run(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tables.write_table(tmp_path / name, edges().replace_schema_metadata({"when": name}))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_empty_table_and_nan_are_kept(tmp_path: Path) -> None:
    for name, values in {"empty": [], "nan": [float("nan"), 1.0]}.items():
        table = pa.table({"x": pa.array(values, pa.float32())})
        record = record_of(tables.write_table(tmp_path / name, table))
        read = tables.read_table((tmp_path / name).read_bytes(), record)
        np.testing.assert_array_equal(read["x"].to_numpy(), table["x"].to_numpy())


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"x": [[1], [2]]}),
        pa.table({"x": [{"a": 1}]}),
        pa.table({"x": pa.array(["a", "b"]).dictionary_encode()}),
        pa.table({"x": pa.array([None, None])}),
        pa.table({"x": pa.array([1, None])}),
        pa.table({"x": pa.array([b"x"])}),
        pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]),
    ],
    ids=["list", "struct", "dictionary", "null", "nulls", "binary", "twice"],
)
def test_only_flat_full_columns_are_written(tmp_path: Path, table: pa.Table) -> None:
    with pytest.raises(ValueError):
        tables.write_table(tmp_path / "t.parquet", table)
    assert not (tmp_path / "t.parquet").exists()


@shared
@given(st.data())
def test_page_checksums_find_a_flipped_bit_by_themselves(
    tmp_path: Path, data: st.DataObject
) -> None:
    """With --no-verify nothing else would: a read gives the same table or a ValueError."""
    path = tmp_path / "t.parquet"
    path.unlink(missing_ok=True)
    record = record_of(tables.write_table(path, edges(300)))
    raw = bytearray(path.read_bytes())
    footer = int.from_bytes(raw[-8:-4], "little") + 8
    bit = data.draw(st.integers(4 * 8, (len(raw) - footer) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    try:
        read = tables.read_table(bytes(raw), record)
    except ValueError:
        return
    assert read.equals(edges(300))  # a bit of a page header that says nothing


@shared
@given(st.binary(max_size=200))
def test_random_bytes_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        tables.read_table(data, record_of({"rows": 1, "columns": (("x", "int64"),)}))


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


def claims(rows: int, *columns: tuple[str, str]) -> dict[str, Any]:
    return {"rows": rows, "columns": [list(column) for column in columns]}


HOSTILE = {
    "pickle": (b"\x80\x04\x95\x1a\0\0\0", claims(1, ("src", "int64"))),
    "magic only": (b"PAR1PAR1", claims(1, ("src", "int64"))),
    "fewer rows": (parquet(pa.table({"src": [1]})), claims(2, ("src", "int64"))),
    "other name": (parquet(pa.table({"dst": [1]})), claims(1, ("src", "int64"))),
    "other type": (parquet(pa.table({"src": [1.0]})), claims(1, ("src", "int64"))),
    "more columns": (parquet(pa.table({"src": [1], "x": [1]})), claims(1, ("src", "int64"))),
    "10,000 columns": (
        parquet(pa.table({f"c{i}": [1] for i in range(10_000)})),
        claims(1, ("src", "int64")),
    ),
    "nested": (parquet(pa.table({"src": [[1]]})), claims(1, ("src", "list<element: int64>"))),
    "dictionary": (
        parquet(pa.table({"src": pa.array(["a"]).dictionary_encode()})),
        claims(1, ("src", "dictionary<values=string, indices=int32, ordered=0>")),
    ),
    "beyond the limit": (
        parquet(pa.table({"src": pa.array([1])})).replace(b"\x16\x02", b"\x16\x04"),
        claims(1, ("src", "int64")),
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_that_a_manifest_vouches_for(artifact: Artifact, case: str) -> None:
    data, claim = HOSTILE[case]
    name = "edges/audio.intra.audio.parquet"
    plant(artifact.path, name, data, **claim)
    forged = Artifact.open(artifact.path, artifact.ref)
    with pytest.raises(ArtifactCorruptError, match="edges/audio"):
        forged.table(name)


def test_a_claim_beyond_the_limit_is_refused_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(tables.write_table(tmp_path / "t", edges(300)))
    monkeypatch.setattr(tables, "MAX_TABLE_BYTES", 300 * 20 - 1)
    with pytest.raises(ValueError, match="more than"):
        tables.read_table((tmp_path / "t").read_bytes(), record)
    with pytest.raises(ValueError, match="more than"):
        tables.write_table(tmp_path / "u", edges(300))


BOMB = """
import resource, sys
from pathlib import Path
import pyarrow.parquet
from rrnet_cli.errors import RRNetError
from rrnet_cli.store import Artifact
artifact = Artifact.open(Path(sys.argv[1]), verify=False)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20,) * 2)
try:
    artifact.table("edges/audio.intra.audio.parquet")
except RRNetError as error:
    print(error.exit_code, error.message)
"""


@pytest.mark.parametrize("vouched", [False, True])
def test_a_bomb_of_a_few_kilobytes_does_not_take_the_memory(store: Store, vouched: bool) -> None:
    """50 million rows, 400 MB, in a process that may have 100 MB more."""
    from tests.store.samples import build

    path = store.materialise(make_key(), build).artifact.path
    bomb = parquet(pa.table({"src": np.zeros(50_000_000, "i8")}), compression="zstd")
    assert len(bomb) < 100_000
    claim = claims(50_000_000, ("src", "int64")) if vouched else claims(50, ("src", "int64"))
    plant(path, "edges/audio.intra.audio.parquet", bomb, **claim)
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.stdout.startswith("7 " if vouched else "5 "), done
    assert ("does not fit" if vouched else "50,000,000 rows") in done.stdout
