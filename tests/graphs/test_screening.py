"""What the screen leaves out is none of the nearest, whatever the data; and the bits are those of
the search without numba."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.graphs import knn, screening
from rrnet_cli.graphs.keys import Keys
from rrnet_cli.graphs.knn import nearest_neighbours
from tests.uncompiled import without_compiler

NODES, DIM = 300, 24


@pytest.fixture(params=["bfloat16", "float32", "hard"], autouse=True, scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """In which format is screened; `hard`: in bfloat16, and nearly all rows again in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "has_bfloat16", lambda: request.param != "float32")
        patch.setattr(screening, "BFLOAT16_NODES", 0)
        if request.param == "hard":
            patch.setattr(screening, "LIMIT", 9)
        yield


def naive(features: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    wide = features.astype(np.float64)
    if metric == "cosine":
        lengths = np.linalg.norm(wide, axis=1)
        lengths[lengths == 0] = 1
        products = (wide[:, None] * wide[None]).sum(axis=2)
        similarity = np.clip(products / (lengths[:, None] * lengths), -1, 1).astype(np.float32)
        key = -similarity
    else:
        distance = np.sqrt(((wide[:, None] - wide[None]) ** 2).sum(axis=2))
        similarity, key = (1 / (1 + distance)).astype(np.float32), distance.astype(np.float32)
    np.fill_diagonal(key, np.inf)
    index = np.argsort(key, axis=1, kind="stable")[:, :k]
    return index, np.take_along_axis(similarity, index, axis=1)


def draw(kind: str) -> np.ndarray:
    random = np.random.default_rng(5)
    plain = random.standard_normal((NODES, DIM))
    label = np.arange(NODES) // 30
    if kind == "clustered":
        plain = 0.01 * plain + random.standard_normal((10, DIM))[label]
    elif kind == "duplicates":
        plain = plain[label]
    elif kind == "zero rows":
        plain[::3] = 0
    elif kind == "nearly equal":
        plain = 1 + 1e-4 * plain
    elif kind == "huge means":
        plain = plain + 1000 * random.standard_normal(DIM)
    elif kind == "one column rules":
        plain[:, 0] = 1e4 * (label % 2)
    elif kind == "outliers":
        plain[:3] *= 1e6
    elif kind == "tiny rows":
        plain[::2] *= 1e-35
    elif kind == "one line":
        plain = np.arange(NODES)[:, None] * plain[0]
    elif kind == "opposite":  # below the mean all scores of the second half, so of whole groups
        plain = 0.1 * plain + np.where(np.arange(NODES) < NODES // 2, 1, -1)[:, None]
    elif kind == "all equal":
        plain[:] = plain[0]
    return plain.astype(np.float32)


KINDS = ("plain", "clustered", "duplicates", "zero rows", "nearly equal", "huge means")
KINDS += ("one column rules", "outliers", "tiny rows", "one line", "opposite", "all equal")


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 2, 7])  # to 2 the groups of scores give a bound themselves
def test_agrees_with_brute_force(k: int, kind: str, metric: str) -> None:
    features = draw(kind)
    index, similarity = naive(features, k, metric)
    found = nearest_neighbours(torch.from_numpy(features), k, metric=metric)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_array_equal(found.similarity, similarity)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@given(
    data=st.integers(1, 40).flatmap(
        lambda dim: st.lists(
            st.lists(st.floats(-8, 8, width=16), min_size=dim, max_size=dim),
            min_size=2,
            max_size=40,
        )
    ),
    k=st.integers(1, 6),
    shift=st.sampled_from([0.0, 3.0, 1000.0]),
    rows=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_any_data_any_block(
    metric: str, data: list[list[float]], k: int, shift: float, rows: int
) -> None:
    features = np.array(data, dtype=np.float32) + np.float32(shift)
    k = min(k, len(features) - 1)
    _, similarity = naive(features, k, metric)
    found = nearest_neighbours(
        torch.from_numpy(features), k, metric=metric, block_bytes=rows * 4 * len(features)
    )
    # Sums of few terms in another order can fall on the other side of a float32: no equal ids.
    np.testing.assert_array_max_ulp(found.similarity, similarity, maxulp=1)
    assert all(len({*ids, row}) == k + 1 for row, ids in enumerate(found.index.tolist()))


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("dim", [1, 31, 32, 100, 515])
def test_the_bits_are_those_of_the_search_without_numba(
    dim: int, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = torch.randn(400, dim, generator=torch.Generator().manual_seed(dim)) + 0.5
    found = nearest_neighbours(features, 10, metric=metric)
    monkeypatch.setattr(knn, "load_screening", lambda: None)
    plain = nearest_neighbours(features, 10, metric=metric)
    np.testing.assert_array_equal(found.index, plain.index)
    assert found.similarity.tobytes() == plain.similarity.tobytes()


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    features = torch.from_numpy(draw("clustered"))
    found = nearest_neighbours(features, 5)
    monkeypatch.setattr(screening.torch, "get_num_threads", lambda: 3)
    again = nearest_neighbours(features, 5)
    np.testing.assert_array_equal(found.index, again.index)
    assert found.similarity.tobytes() == again.similarity.tobytes()


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_scores_are_no_farther_off_than_their_doubt(dtype: torch.dtype, metric: str) -> None:
    keys = Keys(torch.from_numpy(draw("huge means")), metric)
    screen = screening.Screen(keys, dtype)
    points = torch.cat([piece for _, piece in keys.pieces()])
    if metric == "cosine":
        exact = points @ points.T
    else:
        exact = -(torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist") ** 2) / 2
    spread, low, high, own, doubt = screen.arguments[:5]
    scores = screen.score(torch.arange(NODES)).double().numpy()
    spread, low, high, own = (values[:NODES] for values in (spread, low, high, own))
    error = np.abs(exact.numpy() - (scores[:, :NODES] + own + own[:, None]))
    assert (error <= float(doubt) * np.outer(spread, spread).astype(np.float64) + 1e-13).all()
    assert ((low <= own) & (own <= high)).all()


def test_bfloat16_leaves_little_in_doubt() -> None:
    """Else all would be measured, which is right and slow."""
    features = torch.randn(3000, 64, generator=torch.Generator().manual_seed(1)) + 10
    screen = screening.Screen(Keys(features, "cosine"), torch.bfloat16)
    _, _, measured = screen.search(torch.arange(200), 20, 3000)
    assert measured.double().mean() < 100


def test_without_a_compiler_there_is_no_screen() -> None:
    code = "from rrnet_cli.graphs import knn; print(knn.load_screening())"
    assert without_compiler(code) == "None"
