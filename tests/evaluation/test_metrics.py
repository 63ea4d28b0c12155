"""Every metric against scikit-learn or a loop that says what it means."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from rrnet_cli.evaluation import metrics

CLASSES = 7


def answers(seed: int, num: int = 200, classes: int = CLASSES):
    """Random scores, better than chance, all different."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, num)
    scores = rng.random((num, classes))
    scores[np.arange(num), labels] += 0.3
    return scores / scores.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("k", [1, 2, 5, 7])
def test_top_k_is_that_of_scikit_learn(k):
    scores, labels = answers(0)
    ours = metrics.top_k_hits(scores, labels, k).mean()
    if k == CLASSES:
        assert ours == 1.0
    else:
        expected = reference.top_k_accuracy_score(labels, scores, k=k, labels=range(CLASSES))
        assert ours == pytest.approx(expected)


def test_ranks_count_the_classes_before_the_true_one():
    scores, labels = answers(1)
    scores[:, 3] = scores[:, 2]  # ties
    for row, label, rank in zip(scores, labels, metrics.label_ranks(scores, labels), strict=True):
        assert rank == sorted(range(CLASSES), key=lambda c: -row[c]).index(label)


def test_ties_go_to_the_lowest_index_and_are_counted():
    scores = np.array([[0.5, 0.5, 0.1], [0.1, 0.5, 0.5], [0.2, 0.1, 0.3]])
    assert metrics.predict(scores).tolist() == [0, 1, 2]
    assert metrics.count_ties(scores) == 2
    assert metrics.top_k_hits(scores, np.array([1, 1, 2]), 1).tolist() == [False, True, True]


def test_a_class_outside_the_candidates_is_no_hit_for_any_k():
    scores = np.array([[0.9, -np.inf, -np.inf], [0.9, -np.inf, -np.inf]])
    for k in (1, 3, 5):
        assert metrics.top_k_hits(scores, np.array([0, 1]), k).tolist() == [True, False]


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (np.zeros((2, 3)), np.array([0])),
        (np.zeros(3), np.array([0, 1, 2])),
        (np.zeros((2, 3)), np.array([0, 3])),
        (np.zeros((2, 3)), np.array([0, -1])),
        (np.array([[np.nan, 1.0]]), np.array([0])),
        (np.zeros((0, 3)), np.zeros(0, np.int64)),
    ],
)
def test_impossible_scores_are_refused(scores, labels):
    with pytest.raises(ValueError):
        metrics.label_ranks(scores, labels)


def test_confusion_and_per_class_figures_are_those_of_scikit_learn():
    scores, labels = answers(2, num=60)
    labels[labels == 4] = 5  # a class that only predictions have
    predicted = metrics.predict(scores)
    predicted[predicted == 6] = 0  # a class that is never predicted
    matrix = metrics.confusion_matrix(labels, predicted, CLASSES)
    assert np.array_equal(
        matrix, reference.confusion_matrix(labels, predicted, labels=range(CLASSES))
    )
    assert matrix[4].sum() == 0 and matrix[:, 6].sum() == 0 and matrix[:, 4].sum() > 0
    ours = metrics.per_class(matrix)
    expected = reference.precision_recall_fscore_support(
        labels, predicted, labels=range(CLASSES), zero_division=0
    )
    for mine, theirs in zip(
        (ours.precision, ours.recall, ours.f1, ours.support), expected, strict=True
    ):
        assert mine == pytest.approx(theirs)


def test_macro_f1_averages_over_the_classes_that_occur():
    scores, labels = answers(3)
    labels[labels == 4] = 5
    predicted = metrics.predict(scores)
    matrix = metrics.confusion_matrix(labels, predicted, CLASSES)
    expected = reference.f1_score(
        labels, predicted, labels=np.unique(labels), average="macro", zero_division=0
    )
    assert metrics.macro_f1(matrix) == pytest.approx(expected)


def test_likelihood_is_that_of_scikit_learn_where_nothing_is_floored():
    probabilities, labels = answers(4)
    true = metrics.true_class_probability(probabilities, labels)
    ours = metrics.negative_log_likelihoods(true).mean()
    assert ours == pytest.approx(reference.log_loss(labels, probabilities, labels=range(CLASSES)))


def test_likelihood_of_the_impossible_is_floored():
    costs = metrics.negative_log_likelihoods(np.array([0.0, 1e-9, 1e-6, 0.25]))
    assert costs == pytest.approx([-math.log(1e-6)] * 3 + [math.log(4)])


def naive_calibration_error(confidence, hits, num_bins):
    total = 0.0
    for index in range(num_bins):
        low, high = index / num_bins, (index + 1) / num_bins
        inside = [
            (c, h)
            for c, h in zip(confidence, hits, strict=True)
            if low < c <= high or (index == 0 and c == 0)
        ]
        if inside:
            mean = sum(c for c, _ in inside) / len(inside)
            right = sum(h for _, h in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(right - mean)
    return total


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 10, 15]))
def test_calibration_error_is_that_of_a_loop(seed, num_bins):
    rng = np.random.default_rng(seed)
    # multiples of 1/20 fall on the edges of bins
    confidence = np.where(rng.random(50) < 0.5, rng.random(50), rng.integers(0, 21, 50) / 20)
    hits = rng.random(50) < confidence
    ours = metrics.reliability(confidence, hits, num_bins)
    assert ours.count.sum() == 50
    assert ours.calibration_error == pytest.approx(
        naive_calibration_error(confidence, hits, num_bins), abs=1e-12
    )


def test_calibration_knows_perfect_from_overconfident():
    hits = np.array([True, True, True, False])
    assert metrics.reliability(np.full(4, 0.75), hits, 10).calibration_error == 0.0
    assert metrics.reliability(np.full(4, 1.0), hits, 10).calibration_error == 0.25
    with pytest.raises(ValueError):
        metrics.reliability(np.zeros(0), np.zeros(0, bool), 10)


def test_rating_errors_are_those_of_scikit_learn():
    rng = np.random.default_rng(5)
    rating, predicted = rng.uniform(1, 5, 300), rng.uniform(1, 5, 300)
    assert metrics.mean_absolute_error(rating, predicted) == pytest.approx(
        reference.mean_absolute_error(rating, predicted)
    )
    assert metrics.root_mean_square_error(rating, predicted) == pytest.approx(
        math.sqrt(reference.mean_squared_error(rating, predicted))
    )


def test_rating_errors_of_float32_are_summed_in_float64():
    rating = np.full(300_000, 4.0, np.float32)
    predicted = rating + np.float32(0.1)
    exact = float(predicted[0]) - 4.0
    assert metrics.mean_absolute_error(rating, predicted) == pytest.approx(exact, rel=1e-12)
    assert metrics.root_mean_square_error(rating, predicted) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("metric", [metrics.mean_absolute_error, metrics.root_mean_square_error])
def test_ratings_must_be_paired(metric):
    with pytest.raises(ValueError):
        metric(np.ones(3), np.ones(4))
    with pytest.raises(ValueError):
        metric(np.ones(0), np.ones(0))
