import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from rrnet_cli.evaluation import scores


def test_edges_are_spread_over_instances_and_classes():
    table = scores.class_scores(
        np.array([0, 0, 1]), np.array([2, 0, 1]), np.array([0.1, 0.4, 0.9], np.float32), 2, 3
    )
    expected = [[0.4, -np.inf, 0.1], [-np.inf, 0.9, -np.inf]]
    assert table == pytest.approx(np.array(expected), rel=1e-6)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan, np.inf])
def test_no_probability_is_refused(wrong):
    with pytest.raises(ValueError):
        scores.class_scores(np.array([0]), np.array([0]), np.array([wrong]), 1, 1)


def test_candidates_share_the_probability():
    table = np.array([[0.3, -np.inf, 0.1], [0.0, 0.0, -np.inf], [0.25, 0.5, 0.25]])
    shares = scores.candidate_distribution(table)
    assert shares == pytest.approx(np.array([[0.75, 0, 0.25], [0.5, 0.5, 0], [0.25, 0.5, 0.25]]))


@given(st.lists(st.floats(-700, 700), min_size=2, max_size=8))
def test_softmax_is_that_of_scipy(logits):
    row = np.array([logits], np.float32)
    assert scores.softmax(row) == pytest.approx(special.softmax(row.astype(np.float64), axis=1))
