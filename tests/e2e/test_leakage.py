"""No prediction depends on a test label: permute them in the raw data, and no bit moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.conftest import Result
from tests.e2e.conftest import version_folder
from tests.layouts import write_filmtrust

pytestmark = pytest.mark.filterwarnings("ignore")  # as in a process of its own

Invoke = Callable[..., Result]
TRAININGS = {
    "paper": ("--preset", "paper"),
    "plus": ("--preset", "plus"),
    "sampled": ("--preset", "plus", "--batch-size", "20", "--fanout", "3,3"),
}


def stages(invoke: Invoke, store: Path, extract: tuple[str | Path, ...], *graph: str) -> None:
    """Extract, build the graph, and train and judge both presets, and samples."""
    words = ("--quiet", "--artifacts", store)
    for stage in (
        extract,
        ("build-graph", *graph),
        *(("train", *how, "--epochs", "4", "--name", name) for name, how in TRAININGS.items()),
        *(("eval", name, "--resamples", "50", "--name", name) for name in TRAININGS),
    ):
        result = invoke(*words, *stage)
        assert result.code == 0, result.err


def fitted(store: Path) -> dict[str, bytes]:
    """Every file that something was fitted or chosen for."""
    files = [
        *version_folder(store, "features").glob("*.safetensors"),
        *version_folder(store, "graph").glob("edges/*.parquet"),
        *store.glob("model/*/*/*.safetensors"),
        *store.glob("model/*/*/history.parquet"),
    ]
    assert len(files) >= 3 + 1 + 4
    # the version is another one: other raw data
    parts = [file.relative_to(store).parts for file in files]
    return {"/".join(p[:2] + p[3:]): f.read_bytes() for p, f in zip(parts, files, strict=True)}


def predictions(store: Path, preset: str, columns: list[str]) -> list[object]:
    """What RR-Net says of each test instance."""
    (file,) = store.glob(f"evaluation/{preset}/*/predictions.parquet")
    return pq.read_table(file, columns=columns).to_pydict()[columns[-1]]


@pytest.mark.parametrize("more", [("--cross-fit", "3"), ("--backbone", "rating-factors")])
@pytest.mark.parametrize("role", ["test", "fit"])
def test_permuted_ratings(
    invoke: Invoke,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    more: tuple[str, ...],
) -> None:
    """Of test pairs: nothing moves. Of fitted pairs: something does, so this test can fail."""
    monkeypatch.setattr("rrnet_cli.features.factors.MAX_STEPS", 60)  # sooner over
    data = tmp_path / "data"
    write_filmtrust(data, 8)
    extract = ("extract", "filmtrust", "--data", data, *more)
    graph = ("--intra", "links", "--inter", "rated")
    before, after = tmp_path / "before", tmp_path / "after"
    stages(invoke, before, extract, *graph)

    folder = version_folder(before, "features")
    ratings = pq.read_table(folder / "ratings.parquet").to_pandas()
    for side in ("user", "item"):
        ids = pq.read_table(folder / f"{side}s.parquet")["id"].to_pylist()
        ratings[side] = [ids[number] for number in ratings[side]]
    chosen = ratings["role"] == role
    old = ratings["rating"].copy()
    ratings.loc[chosen, "rating"] = np.random.default_rng(0).permutation(old[chosen])
    assert (ratings["rating"] != old).sum() > 5
    lines = zip(ratings["user"], ratings["item"], ratings["rating"], strict=True)
    (data / "ratings.txt").write_text("".join(f"{u} {i} {r}\n" for u, i, r in lines))
    stages(invoke, after, extract, *graph)

    columns = ["user", "item", "prediction"]
    same = [predictions(after, p, columns) == predictions(before, p, columns) for p in TRAININGS]
    if role == "test":
        assert fitted(after) == fitted(before) and all(same)
    else:
        assert fitted(after) != fitted(before) and not any(same)


@pytest.mark.parametrize("part", ["test", "train"])
@pytest.mark.parametrize(
    "more",
    [("--cross-fit", "3"), ("--holdout", "0.2"), ("--holdout", "0.2", "--holdout-of", "select")],
)
def test_permuted_labels(
    invoke: Invoke, tmp_path: Path, vectors: Path, part: str, more: tuple[str, ...]
) -> None:
    """As with ratings."""
    rng = np.random.default_rng(0)
    names, rows = ("dog", "cat", "bird"), []
    for number in range(60):
        label = number % 3
        pixels = rng.integers(0, 150, (8, 8, 3)) + [0, 50, 100][label]
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{number}.png")
        rows.append((f"{number}.png", names[label], "test" if number % 4 == 0 else "train"))
    table = tmp_path / "pictures.csv"
    words = ("--backbone", "pixels", "--word-vectors", vectors, *more)
    extract = ("extract", "manifest", "--data", table, *words)

    def write() -> None:
        table.write_text("path,label,split\n" + "".join(",".join(row) + "\n" for row in rows))

    before, after = tmp_path / "before", tmp_path / "after"
    write()
    stages(invoke, before, extract, "--k-intra", "3")
    permuted = [index for index, row in enumerate(rows) if row[2] == part]
    labels = rng.permutation([rows[index][1] for index in permuted])
    moved = 0
    for index, label in zip(permuted, labels, strict=True):
        moved += rows[index][1] != label
        rows[index] = (rows[index][0], str(label), part)
    assert moved > 3
    write()
    stages(invoke, after, extract, "--k-intra", "3")

    columns = ["id", "rrnet"]
    same = [predictions(after, p, columns) == predictions(before, p, columns) for p in TRAININGS]
    if part == "test":
        assert fitted(after) == fitted(before) and all(same)
    else:
        assert fitted(after) != fitted(before) and not any(same)
