from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.graphs import knn
from rrnet_cli.graphs.knn import nearest_neighbours, select_highest
from rrnet_cli.progress import SilentReporter


@pytest.fixture(params=["screened", "torch"], autouse=True, scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """With and without a numba that works."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "torch":
            patch.setattr(knn, "load_screening", lambda: None)
        yield


class Notes(SilentReporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def similarity_matrix(features: np.ndarray, metric: str) -> np.ndarray:
    """The obvious thing, pair by pair, rounded to float32 as the result is."""
    wide = features.astype(np.float64)
    n = len(wide)
    result = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if metric == "l2":
                result[i, j] = -np.sqrt(((wide[i] - wide[j]) ** 2).sum())
            elif (lengths := np.linalg.norm(wide[i]) * np.linalg.norm(wide[j])) > 0:
                result[i, j] = wide[i] @ wide[j] / lengths
    return result.astype(np.float32)


def naive(features: np.ndarray, k: int, metric: str) -> np.ndarray:
    scores = similarity_matrix(features, metric)
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def random_features(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_agrees_with_sklearn(metric: str) -> None:
    features = random_features(300, 16) + 3
    found = nearest_neighbours(features, 7, metric=metric)
    oracle = NearestNeighbors(n_neighbors=8, metric=metric, algorithm="brute")
    distance, index = oracle.fit(features.double().numpy()).kneighbors()[:2]
    distance, index = distance[:, :7], index[:, :7]  # queries without X leave self out
    np.testing.assert_array_equal(found.index, index)
    expected = 1 - distance if metric == "cosine" else 1 / (1 + distance)
    np.testing.assert_allclose(found.similarity, expected, atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@given(
    data=st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=2, max_size=30),
    k=st.integers(1, 6),
    rows=st.integers(1, 30),
)
@settings(max_examples=60, deadline=None)
def test_ties_go_to_the_lower_id_whatever_the_block(
    metric: str, data: list[tuple[int, ...]], k: int, rows: int
) -> None:
    features = np.array(data, dtype=np.float32)
    k = min(k, len(features) - 1)
    # Powers of two on one axis keep cosines of parallel vectors equal bit for bit.
    found = nearest_neighbours(
        torch.from_numpy(features), k, metric=metric, block_bytes=rows * 4 * len(features)
    )
    scores = similarity_matrix(features, metric)
    np.fill_diagonal(scores, -np.inf)
    for node, neighbours in enumerate(found.index):
        assert node not in neighbours
        assert len(set(neighbours)) == k
        kept = scores[node, neighbours]
        rest = np.delete(scores[node], [node, *neighbours])
        assert (np.diff(kept) <= 1e-6).all()
        if len(rest):
            assert rest.max() <= kept.min() + 1e-6
    if metric == "l2":  # integer coordinates: exact in float32, so the whole list is determined
        np.testing.assert_array_equal(found.index, naive(features, k, metric))


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_duplicates_beyond_any_margin_take_the_lowest_ids(metric: str) -> None:
    features = random_features(6, 24)[torch.arange(400) % 4]
    found = nearest_neighbours(features, 5, metric=metric, block_bytes=37 * 4 * 400)
    expected = [[j for j in range(i % 4, 400, 4) if j != i][:5] for i in range(400)]
    np.testing.assert_array_equal(found.index, expected)
    np.testing.assert_allclose(found.similarity, 1.0, atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_block_size_changes_no_bit(metric: str) -> None:
    features = random_features(257, 33)
    whole = nearest_neighbours(features, 9, metric=metric)
    for rows in (1, 10, 100, 256):
        blocked = nearest_neighbours(features, 9, metric=metric, block_bytes=rows * 4 * 257)
        np.testing.assert_array_equal(blocked.index, whole.index)
        assert blocked.similarity.tobytes() == whole.similarity.tobytes()


def test_l2_far_from_the_origin() -> None:
    """|a|^2 + |b|^2 - 2ab in float32 would order these by rounding errors."""
    features = random_features(120, 4, seed=3) + 10_000
    found = nearest_neighbours(features, 5, metric="l2")
    np.testing.assert_array_equal(found.index, naive(features.numpy(), 5, "l2"))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_extreme_scales(metric: str, scale: float) -> None:
    features = random_features(60, 8, seed=4)
    found = nearest_neighbours(features * scale, 4, metric=metric)
    np.testing.assert_array_equal(found.index, nearest_neighbours(features, 4, metric=metric).index)
    assert np.isfinite(found.similarity).all()


def test_zero_vectors_have_cosine_zero_and_are_counted() -> None:
    features = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 0], [-1, 0]])
    notes = Notes()
    found = nearest_neighbours(features, 2, modality="text", reporter=notes)
    np.testing.assert_array_equal(found.index[0], [1, 2])
    np.testing.assert_array_equal(found.similarity[0], [0, 0])
    np.testing.assert_array_equal(found.index[4], [0, 3])  # 0 is above -1
    assert notes.lines == ["text: 2 zero vectors are given cosine 0 to every node"]


def test_k_is_clamped_with_a_note() -> None:
    notes = Notes()
    found = nearest_neighbours(random_features(4, 3), 9, modality="audio", reporter=notes)
    assert found.index.shape == (4, 3)
    assert notes.lines == ["audio: k = 9 clamped to 3, there are 4 nodes"]
    assert nearest_neighbours(random_features(1, 3), 2).index.shape == (1, 0)
    assert len(nearest_neighbours(random_features(1, 3), 2).to_edges()) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_not_finite_features_are_refused(value: float) -> None:
    features = random_features(9, 3)
    features[5, 1] = features[7, 0] = value
    with pytest.raises(InputError, match=r"features of image, row 5: NaN or Inf"):
        nearest_neighbours(features, 2, modality="image")


@pytest.mark.parametrize("shape", [(5,), (5, 0), (2, 3, 4)])
def test_not_a_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="features of node have shape"):
        nearest_neighbours(torch.zeros(shape), 2)


def test_k_below_one() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        nearest_neighbours(random_features(5, 2), 0)


def test_progress_is_counted_in_rows() -> None:
    counted: list[int] = []

    class Counting(SilentReporter):
        def task(self, description, total, unit="it", done=0):
            assert (description, total, unit) == ("neighbours of node", 50, "rows")
            outer = super().task(description, total, unit, done)

            class Task:
                def advance(self, steps: int = 1, status: str = "") -> None:
                    counted.append(steps)

            outer.__enter__ = lambda: Task()
            return _Fixed(Task())

    nearest_neighbours(random_features(50, 2), 3, block_bytes=20 * 4 * 50, reporter=Counting())
    assert counted == [20, 20, 10]


class _Fixed:
    def __init__(self, task: object) -> None:
        self.task = task

    def __enter__(self) -> object:
        return self.task

    def __exit__(self, *_: object) -> None:
        return None


def test_edges_point_from_the_neighbour_to_the_node() -> None:
    features = torch.tensor([[1.0, 0], [0.9, 0.1], [0, 1.0]])
    table = nearest_neighbours(features, 1).to_edges()
    assert table.src.tolist() == [1, 0, 1]
    assert table.dst.tolist() == [0, 1, 2]


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=n, max_size=n
        )
    ),
    st.integers(1, 5),
)
def test_select_highest(rows: list[list[int]], count: int) -> None:
    scores = np.array(rows, dtype=np.float32)
    expected = np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :count], axis=1)
    found = select_highest(torch.from_numpy(scores), count)
    np.testing.assert_array_equal(found.numpy(), expected)
