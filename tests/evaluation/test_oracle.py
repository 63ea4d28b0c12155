"""The oracle bound against counting by hand and by loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rrnet_cli.evaluation.oracle import OracleBound, neighbour_votes, oracle_bound


def test_counts_are_of_the_errors_alone():
    labels = np.array([0, 1, 2, 0, 1])
    predicted = np.array([0, 0, 0, 1, 2])  # the first is right
    candidate = np.array([False, True, False, True, True])
    votes = np.array([0, 1, 2, -1, 0])
    assert oracle_bound(labels, predicted, candidate, votes) == OracleBound(5, 4, 3, 2)


def test_folds_add_up():
    parts = [OracleBound(5, 4, 3, 2), OracleBound(10, 1, 0, 1)]
    assert OracleBound.joined(parts) == OracleBound(15, 5, 3, 3)


def test_one_near_neighbour_outvotes_two_far_ones():
    src, dst = np.array([1, 2, 3]), np.array([0, 0, 0])
    known = np.array([-1, 4, 2, 2])
    votes = neighbour_votes(src, dst, np.array([0.9, 0.4, 0.4], np.float32), known, 5)
    assert votes.tolist() == [4, -1, -1, -1]


def test_neighbours_without_a_label_or_a_likeness_have_no_vote():
    src, dst = np.array([1, 2]), np.array([0, 0])
    votes = neighbour_votes(src, dst, np.array([0.9, -0.2]), np.array([-1, -1, 1]), 2)
    assert votes.tolist() == [-1, -1, -1]


@given(st.integers(0, 2**32 - 1))
def test_votes_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    num, classes, edges = 7, 3, int(rng.integers(0, 25))
    src, dst = rng.integers(0, num, (2, edges))
    weight = rng.integers(-2, 5, edges) / 4  # exact in binary, so that sums compare
    known = rng.integers(-1, classes, num)
    expected = []
    for node in range(num):
        total = dict.fromkeys(range(classes), 0.0)
        for a, b, w in zip(src, dst, weight, strict=True):
            if b == node and known[a] >= 0 and w > 0:
                total[known[a]] += w
        best = max(total, key=lambda c: total[c])
        expected.append(best if total[best] > 0 else -1)
    assert neighbour_votes(src, dst, weight, known, classes).tolist() == expected
