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


class Pictures:
    """Sixty pictures of three classes, a quarter of them for test, and the table of their labels.

    Attributes:
        table: To extract from.
    """

    def __init__(self, folder: Path) -> None:
        self.table = folder / "pictures.csv"
        self._rng = np.random.default_rng(0)
        self._rows = []
        for number in range(60):
            label = number % 3
            pixels = self._rng.integers(0, 150, (8, 8, 3)) + [0, 50, 100][label]
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
            name, part = ("dog", "cat", "bird")[label], "test" if number % 4 == 0 else "train"
            self._rows.append((f"{number}.png", name, part))
        self._write()

    def permute(self, part: str) -> None:
        """Give the pictures of one part the labels of others."""
        chosen = [number for number, row in enumerate(self._rows) if row[2] == part]
        labels = self._rng.permutation([self._rows[number][1] for number in chosen])
        moved = 0
        for number, label in zip(chosen, labels, strict=True):
            moved += self._rows[number][1] != label
            self._rows[number] = (self._rows[number][0], str(label), part)
        assert moved > 3
        self._write()

    def _write(self) -> None:
        lines = "".join(",".join(row) + "\n" for row in self._rows)
        self.table.write_text("path,label,split\n" + lines)


@pytest.mark.parametrize("part", ["test", "train"])
@pytest.mark.parametrize(
    "more",
    [("--cross-fit", "3"), ("--holdout", "0.2"), ("--holdout", "0.2", "--holdout-of", "select")],
)
def test_permuted_labels(
    invoke: Invoke, tmp_path: Path, vectors: Path, part: str, more: tuple[str, ...]
) -> None:
    """As with ratings."""
    pictures = Pictures(tmp_path)
    words = ("--backbone", "pixels", "--word-vectors", vectors, *more)
    extract = ("extract", "manifest", "--data", pictures.table, *words)
    before, after = tmp_path / "before", tmp_path / "after"
    stages(invoke, before, extract, "--k-intra", "3")
    pictures.permute(part)
    stages(invoke, after, extract, "--k-intra", "3")

    columns = ["id", "rrnet"]
    same = [predictions(after, p, columns) == predictions(before, p, columns) for p in TRAININGS]
    if part == "test":
        assert fitted(after) == fitted(before) and all(same)
    else:
        assert fitted(after) != fitted(before) and not any(same)


@pytest.mark.parametrize("part", ["test", "train"])
def test_permuted_labels_beside_a_network_and_its_peers(
    invoke: Invoke, tmp_path: Path, vectors: Path, part: str
) -> None:
    """A network over two views, neighbours by other features, and what peers say of every edge."""
    pictures = Pictures(tmp_path)
    extract = ("extract", "manifest", "--data", pictures.table, "--word-vectors", vectors)
    peers = ("views", "logreg-prior", "knn", "label-spreading", "correct-and-smooth", "appnp")

    def scores(store: Path) -> list[bytes]:
        for stage in (
            (*extract, "--backbone", "pixels", "--name", "near"),
            (*extract, "--backbone", "resnet18", "--epochs", "1", "--views", "2", "--name", "net"),
            ("build-graph", "net", "--neighbours", "near", "--k-intra", "3", "--name", "graph"),
            ("peers", "graph", "--only", ",".join(peers)),
            ("train", "graph", "--preset", "plus", "--epochs", "2", "--name", "graph-plus"),
            ("eval", "graph-plus", "--resamples", "50", "--no-plots"),
        ):
            result = invoke("--quiet", "--artifacts", store, *stage)
            assert result.code == 0, result.err
        files = [f"model/graph-{peer}/*/scores.parquet" for peer in peers]
        files += ["model/graph-plus/*/model.safetensors", "features/net/*/*.safetensors"]
        found = [b"".join(f.read_bytes() for f in sorted(store.glob(name))) for name in files]
        found.append(repr(predictions(store, "graph-plus", ["id", "rrnet_probability"])).encode())
        assert all(found)
        return found

    before = scores(tmp_path / "before")
    pictures.permute(part)
    after = scores(tmp_path / "after")
    moved = [one != other for one, other in zip(before, after, strict=True)]
    assert not any(moved) if part == "test" else all(moved)
