from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.errors import InputError
from rrnet_cli.graphs import extension, knn
from rrnet_cli.graphs.extension import Known, extend_neighbours
from rrnet_cli.graphs.knn import Neighbours, nearest_neighbours
from tests.graphs.test_knn import Notes, random_features

METRICS = pytest.mark.parametrize("metric", ["cosine", "l2"])


@pytest.fixture(params=["screened", "torch"], autouse=True, scope="module")
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """With and without a numba that works."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "torch":
            patch.setattr(knn, "load_screening", lambda: None)
        yield


def known_of(features: torch.Tensor, nodes: torch.Tensor, k: int, metric: str) -> Known:
    """What a full search among `nodes` alone gives."""
    found = nearest_neighbours(features[nodes], k, metric=metric)
    return Known(nodes, nodes[torch.from_numpy(found.index)], torch.from_numpy(found.similarity))


def assert_same(found: Neighbours, full: Neighbours) -> None:
    np.testing.assert_array_equal(found.index, full.index)
    assert found.similarity.tobytes() == full.similarity.tobytes()


@METRICS
@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
def test_as_a_search_of_all(metric: str, share: float) -> None:
    features = random_features(2500, 24) + 1  # enough nodes to be screened in bfloat16
    chosen = torch.rand(2500, generator=torch.Generator().manual_seed(1)) < share
    known = known_of(features, chosen.nonzero().squeeze(1), 9, metric)
    found = extend_neighbours(features, 9, known, metric=metric)
    full = nearest_neighbours(features, 9, metric=metric)
    assert_same(found, full)
    changed = (found.index[chosen] != known.index.numpy()).any(axis=1)
    assert changed.any()


@METRICS
@given(
    data=st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=2, max_size=25),
    k=st.integers(1, 6),
    seed=st.integers(0, 99),
    pairs=st.integers(1, 40),
)
@settings(max_examples=80, deadline=None)
def test_ties_zeros_and_few_known(
    metric: str, data: list[tuple[int, ...]], k: int, seed: int, pairs: int
) -> None:
    features = torch.tensor(data, dtype=torch.float32)
    k = min(k, len(features) - 1)
    nodes = torch.from_numpy(np.random.default_rng(seed).permutation(len(data)))
    nodes = nodes[: 1 + seed % len(data)].sort().values
    known = known_of(features, nodes, k, metric)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extension, "_MOST_PAIRS", pairs)
        found = extend_neighbours(features, k, known, metric=metric)
    # Compared as edges: l2 keeps a known list in the order of its float32 similarities.
    assert found.to_edges() == nearest_neighbours(features, k, metric=metric).to_edges()


@METRICS
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales(metric: str, scale: float) -> None:
    features = random_features(80, 8, seed=4) * scale
    known = known_of(features, torch.arange(0, 80, 2), 4, metric)
    found = extend_neighbours(features, 4, known, metric=metric)
    assert found.to_edges() == nearest_neighbours(features, 4, metric=metric).to_edges()


def test_far_from_the_origin() -> None:
    features = random_features(120, 4, seed=3) + 10_000
    known = known_of(features, torch.arange(70), 5, "l2")
    found = extend_neighbours(features, 5, known, metric="l2")
    assert_same(found, nearest_neighbours(features, 5, metric="l2"))


def test_known_lists_are_not_searched_again() -> None:
    """Wrong lists stay as they are where no new node is nearer, and nobody asks about them."""
    features = torch.tensor([[1.0, 0], [1, 0.1], [1, 0.2], [0, 1]])
    known = Known(torch.arange(3), torch.tensor([[2], [0], [0]]), torch.tensor([[0.98]] * 3))
    found = extend_neighbours(features, 1, known)
    assert found.index.ravel().tolist() == [2, 0, 0, 2]


def test_nothing_new_and_clamped() -> None:
    features = random_features(12, 3)
    notes = Notes()
    known = known_of(features, torch.arange(12), 4, "cosine")
    assert_same(extend_neighbours(features, 4, known), nearest_neighbours(features, 4))
    known = known_of(features, torch.arange(4), 20, "cosine")
    assert_same(
        extend_neighbours(features, 20, known, reporter=notes), nearest_neighbours(features, 20)
    )
    assert notes.lines == ["node: k = 20 clamped to 11, there are 12 nodes"]


def test_lists_of_another_k() -> None:
    features = random_features(12, 3)
    known = known_of(features, torch.arange(9), 4, "cosine")
    with pytest.raises(ValueError, match=r"shape \(9, 4\), not \(9, 5\)"):
        extend_neighbours(features, 5, known)


def test_not_finite_features_are_refused() -> None:
    features = random_features(9, 3)
    known = known_of(features, torch.arange(5), 2, "cosine")
    features[7, 1] = torch.nan
    with pytest.raises(InputError, match="features of image, row 7: NaN or Inf"):
        extend_neighbours(features, 2, known, modality="image")
