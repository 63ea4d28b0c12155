from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from rrnet_cli.errors import ConfigError, InputError, ResourceError
from rrnet_cli.graphs import approximate
from rrnet_cli.graphs.approximate import Found, approximate_neighbours
from rrnet_cli.graphs.knn import Neighbours, nearest_neighbours
from tests.graphs.test_knn import Notes, random_features

METRICS = pytest.mark.parametrize("metric", ["cosine", "l2"])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred nodes are enough to be searched approximately."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(approximate, "LEAST_NODES", 100)


def grouped(num_nodes: int, groups: int, seed: int = 0, dim: int = 16) -> torch.Tensor:
    """Groups so far apart that a node's neighbours are all of its own group."""
    generator = torch.Generator().manual_seed(seed)
    centres = 20 * torch.randn(groups, dim, generator=generator)
    return centres[torch.arange(num_nodes) % groups] + torch.randn(
        num_nodes, dim, generator=generator
    )


def search(features: torch.Tensor, k: int, **more: object) -> tuple[Neighbours, Found]:
    neighbours, found = approximate_neighbours(features, k, **more)
    assert found is not None
    return neighbours, found


def share_in(found: Neighbours, exact: Neighbours) -> float:
    """Node by node: which of the exact neighbours are there."""
    hits = [len(set(a) & set(b)) for a, b in zip(found.index, exact.index, strict=True)]
    return sum(hits) / exact.index.size


@METRICS
def test_groups_are_found_whole_with_the_exact_similarities(metric: str) -> None:
    features = grouped(2000, 20)
    exact = nearest_neighbours(features, 7, metric=metric)
    neighbours, found = search(features, 7, metric=metric)
    assert share_in(neighbours, exact) > 0.99
    assert found.recall > 0.98
    same = (neighbours.index == exact.index).all(axis=1)
    assert same.mean() > 0.9
    # Where the list is the exact one it is so to the bit: measured in float64, in the same order.
    assert neighbours.similarity[same].tobytes() == exact.similarity[same].tobytes()


@METRICS
def test_the_told_recall_is_that_of_all_nodes(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features without any structure, and too few lists probed: half is missed, and said to be."""
    monkeypatch.setattr(approximate, "_ONE_LIST_IN", 10**6)
    features = random_features(3000, 32)
    exact = nearest_neighbours(features, 10, metric=metric)
    neighbours, found = search(features, 10, metric=metric)
    true = share_in(neighbours, exact)
    assert 0.05 < true < 0.9
    assert found.probes == 4
    # 500 nodes with 10 neighbours each: three standard errors are below 0.03.
    assert found.recall == pytest.approx(true, abs=0.04)


def test_more_lists_are_probed_until_enough_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    features = random_features(3000, 8)
    monkeypatch.setattr(approximate, "_ONE_LIST_IN", 2)
    tried = []
    for target in (0.5, 0.99):
        monkeypatch.setattr(approximate, "TARGET", target)
        tried.append(search(features, 10)[1])
    assert tried[0].probes < tried[1].probes <= tried[1].lists // 2
    assert tried[0].recall > 0.45 and tried[1].recall > 0.98


def test_nodes_that_choose_the_probes_do_not_tell_the_recall() -> None:
    assert search(random_features(3000, 8), 3)[1].sample == 500
    assert search(random_features(301, 8), 3)[1].sample == 150


@METRICS
def test_no_node_is_its_own_neighbour_nor_there_twice(metric: str) -> None:
    features = grouped(600, 150)  # the probed lists hold fewer than what is looked for
    neighbours, _ = search(features, 9, metric=metric)
    for node, near in enumerate(neighbours.index):
        assert node not in near
        assert len(set(near)) == 9 and near.min() >= 0 and near.max() < 600
    assert (np.diff(neighbours.similarity, axis=1) <= 0).all()


def test_lists_that_hold_too_few_are_made_up_exactly() -> None:
    """Of 80 lists of five nodes, five are probed, and 200 neighbours wanted."""
    features = random_features(400, 12)
    exact = nearest_neighbours(features, 200)
    neighbours, found = search(features, 200)
    np.testing.assert_array_equal(neighbours.index, exact.index)
    assert neighbours.similarity.tobytes() == exact.similarity.tobytes()
    assert found.recall == 1.0


@METRICS
def test_equal_nodes_take_the_lower_id(metric: str) -> None:
    """Three copies of each node: the two others come first, in order, nearer than anything."""
    features = random_features(200, 24).repeat(3, 1)
    neighbours, found = search(features, 2, metric=metric)
    expected = [[j for j in (i % 200, i % 200 + 200, i % 200 + 400) if j != i] for i in range(600)]
    np.testing.assert_array_equal(neighbours.index, expected)
    assert found.recall == 1.0


@METRICS
def test_nodes_that_are_all_the_same(metric: str) -> None:
    neighbours, found = search(torch.ones(500, 6), 4, metric=metric)
    assert all(node not in near for node, near in enumerate(neighbours.index))
    np.testing.assert_allclose(neighbours.similarity, 1.0, atol=1e-6)
    assert found.recall == 1.0  # as near as the nearest, whichever they are


def test_zero_vectors_have_cosine_zero_and_are_counted() -> None:
    features = grouped(500, 5)
    features[[3, 77]] = 0
    notes = Notes()
    neighbours, _ = search(features, 3, reporter=notes)
    np.testing.assert_array_equal(neighbours.similarity[[3, 77]], 0)
    assert notes.lines[0] == "node: 2 zero vectors are given cosine 0 to every node"


@METRICS
def test_the_same_features_give_the_same_bits(metric: str) -> None:
    features = random_features(1500, 16)
    first, told = search(features, 8, metric=metric)
    torch.rand(3), np.random.rand(3)  # no generator of others is asked
    second, told_again = search(features, 8, metric=metric)
    np.testing.assert_array_equal(first.index, second.index)
    assert first.similarity.tobytes() == second.similarity.tobytes()
    assert told == told_again


@METRICS
def test_the_order_of_the_search_changes_no_list(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = random_features(900, 16)
    whole, _ = search(features, 8, metric=metric)
    monkeypatch.setattr(approximate, "_CHUNK_ROWS", 7)
    parts, _ = search(features, 8, metric=metric)
    np.testing.assert_array_equal(whole.index, parts.index)


def test_threads_of_faiss_are_as_before() -> None:
    import faiss

    before = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(3)
        search(random_features(300, 4), 2)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


def test_few_nodes_are_searched_exactly_without_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)  # import faiss: ImportError
    features = random_features(99, 5)
    neighbours, found = approximate_neighbours(features, 4)
    assert found is None
    np.testing.assert_array_equal(neighbours.index, nearest_neighbours(features, 4).index)
    with pytest.raises(ResourceError, match="faiss-cpu") as caught:
        approximate_neighbours(random_features(100, 5), 4)
    assert "rrnet[knn]" in str(caught.value.hint)


def test_the_recall_is_noted_and_rows_are_counted() -> None:
    notes = Notes()
    _, found = search(grouped(1000, 4), 3, modality="image", reporter=notes)
    assert notes.lines == [
        f"image: approximate search, {found.recall:.1%} of the exact neighbours of 500 sampled "
        f"nodes found ({found.probes} of 126 lists probed)"
    ]


def test_what_the_exact_search_refuses() -> None:
    features = random_features(200, 3)
    with pytest.raises(ConfigError, match="at least 1"):
        approximate_neighbours(features, 0)
    features[5, 1] = float("nan")
    with pytest.raises(InputError, match="features of image, row 5: NaN or Inf"):
        approximate_neighbours(features, 2, modality="image")
