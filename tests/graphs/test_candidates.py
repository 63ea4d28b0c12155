from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax as scipy_log_softmax

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.graphs.candidates import (
    RatedPairs,
    all_rating_edges,
    log_softmax,
    top_candidates,
)
from rrnet_cli.graphs.edges import FIT, NONE, SELECT, TEST
from tests.graphs.test_knn import Notes


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=5, max_size=5), min_size=1, max_size=6),
    st.integers(1, 5),
)
def test_top_candidates_tie_to_the_lower_label(rows: list[list[int]], k: int) -> None:
    logits = np.array(rows, dtype=np.float32)
    found = top_candidates(logits, k)
    for i, row in enumerate(rows):
        assert found.index[i].tolist() == sorted(range(5), key=lambda c: (-row[c], c))[:k]
        expected = scipy_log_softmax(logits[i].astype(np.float64))[found.index[i]]
        np.testing.assert_allclose(found.log_prob[i], expected, rtol=1e-6)


def test_log_softmax_is_finite_for_any_finite_logits() -> None:
    logits = np.array([[3e38, -3e38], [0, -200]], dtype=np.float32)
    found = log_softmax(logits)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1], [0, -200], atol=1e-6)


def test_more_candidates_than_labels_are_clamped_with_a_note() -> None:
    notes = Notes()
    assert top_candidates(np.zeros((2, 3), np.float32), 20, notes).index.tolist() == [[0, 1, 2]] * 2
    assert notes.lines == ["candidates: k = 20 clamped to 3, there are 3 labels"]


def test_label_edges_withhold_the_targets_of_test_instances() -> None:
    logits = np.array([[2, 1, 0], [0, 2, 1], [0, 1, 2]], dtype=np.float32)
    labels = np.array([0, 0, 2])
    roles = np.array([FIT, SELECT, TEST], dtype=np.int8)
    table = top_candidates(logits, 2).to_edges(labels, roles)
    rows = list(zip(table.src.tolist(), table.dst.tolist(), table["target"], strict=True))
    assert rows[:4] == [(0, 0, 1), (0, 1, 0), (1, 1, 0), (2, 1, rows[3][2])]
    assert np.isnan(table["target"][table.src == 2]).all()
    np.testing.assert_array_equal(table["role"], roles[table.src])
    expected = log_softmax(logits)[table.src, table.dst]
    np.testing.assert_array_equal(table["prior"], expected)


def test_test_labels_change_nothing() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(30, 4)).astype(np.float32)
    roles = generator.integers(0, 3, 30).astype(np.int8)
    labels = generator.integers(0, 4, 30)
    shuffled = np.where(roles == TEST, (labels + 1) % 4, labels)
    tables = [top_candidates(logits, 3).to_edges(given, roles) for given in (labels, shuffled)]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_not_finite(value: float) -> None:
    logits = np.zeros((4, 3), np.float32)
    logits[2, 1] = value
    with pytest.raises(InputError, match="prior logits, row 2: NaN or Inf"):
        top_candidates(logits, 2)


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        top_candidates(np.zeros((4, 3), np.float32), 0)
    for shape in ((4,), (4, 0)):
        with pytest.raises(InputError, match="prior logits have shape"):
            top_candidates(np.zeros(shape, np.float32), 1)


def some_ratings() -> RatedPairs:
    return RatedPairs(
        user=np.array([0, 0, 1, 2]),
        item=np.array([1, 0, 1, 0]),
        rating=np.array([4, 3, 2, 1], dtype=np.float32),
        prior=np.array([3.5, 3.25, 2.5, 1.5], dtype=np.float32),
        roles=np.array([FIT, SELECT, TEST, FIT], dtype=np.int8),
    )


def test_rated_pairs() -> None:
    table = some_ratings().to_edges()
    assert table.src.tolist() == [0, 2, 0, 1]
    assert table.dst.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(table["target"], [3, 1, 4, np.nan])
    np.testing.assert_array_equal(table["prior"], np.float32([3.25, 1.5, 3.5, 2.5]))
    assert table["role"].tolist() == [SELECT, FIT, FIT, TEST]


def test_all_pairs_hold_the_rated_ones() -> None:
    prior = np.arange(12, dtype=np.float32).reshape(4, 3)
    table = all_rating_edges(some_ratings(), prior)
    rated = some_ratings().to_edges()
    expected = {(u, i): (prior[u, i], NONE) for u in range(4) for i in range(3)} | {
        (u, i): (p, r)
        for u, i, p, r in zip(
            rated.src.tolist(), rated.dst.tolist(), rated["prior"], rated["role"], strict=True
        )
    }
    found = zip(table.src.tolist(), table.dst.tolist(), table["prior"], table["role"], strict=True)
    assert {(u, i): (p, r) for u, i, p, r in found} == expected
    assert len(table) == 12
    assert np.isfinite(table["target"]).sum() == 3  # two fit, one select


def test_all_pairs_refuse_ids_and_duplicates() -> None:
    with pytest.raises(InputError, match=r"ratings: column 'src', row 1: id 2 is not in 0\.\.1"):
        all_rating_edges(some_ratings(), np.zeros((2, 2), np.float32))
    pairs = some_ratings()
    twice = RatedPairs(np.zeros(4, np.int64), pairs.item, pairs.rating, pairs.prior, pairs.roles)
    with pytest.raises(InputError, match=r"row 2: edge 0 -> 1 is there twice"):
        twice.to_edges()
