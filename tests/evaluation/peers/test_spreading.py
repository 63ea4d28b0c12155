"""Peers that spread over the graph without training, against dense closed forms and loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.semi_supervised import LabelSpreading

from rrnet_cli.evaluation.peers import correct_and_smooth
from rrnet_cli.evaluation.peers.adjacency import normalised_adjacency, symmetric_adjacency
from tests.evaluation.peers.data import (
    class_data,
    dense_adjacency,
    dense_normalised,
    dense_one_hot,
    fit,
    scaled,
)


def ring(num=12):
    """Every node joined both ways to its two neighbours: S has rows that sum to 1."""
    data = class_data(num=num)
    node = np.arange(num)
    src = np.concatenate([node, node])
    dst = np.concatenate([(node + 1) % num, (node - 1) % num])
    return replace(data, edges=np.stack([src, dst]), weight=np.ones(2 * num, np.float32))


def test_adjacency_is_that_of_a_loop():
    data = class_data()
    data = replace(data, weight=data.weight - np.median(data.weight))  # half of them below 0
    np.testing.assert_allclose(symmetric_adjacency(data).toarray(), dense_adjacency(data))
    np.testing.assert_allclose(normalised_adjacency(data).toarray(), dense_normalised(data))


def test_adjacency_leaves_self_loops_out():
    data = class_data()
    loops = np.tile(np.arange(5), (2, 1))
    other = replace(
        data,
        edges=np.hstack([data.edges, loops]),
        weight=np.concatenate([data.weight, np.ones(5, np.float32)]),
    )
    np.testing.assert_array_equal(
        symmetric_adjacency(data).toarray(), symmetric_adjacency(other).toarray()
    )


@pytest.mark.parametrize("alpha", [0.2, 0.8])
def test_label_spreading_is_its_closed_form(alpha):
    data = class_data()
    system = np.eye(len(data.labels)) - alpha * dense_normalised(data)
    expected = scaled(np.linalg.solve(system, (1 - alpha) * dense_one_hot(data)), data)
    np.testing.assert_allclose(fit("label-spreading", data, alpha=alpha), expected, atol=2e-3)


def test_label_spreading_is_scikit_learns_with_a_dense_kernel():
    data = class_data(isolated=False)
    matrix = dense_adjacency(data)
    model = LabelSpreading(kernel=lambda _, __: matrix.copy(), alpha=0.5, max_iter=1000)
    model.fit(data.features, data.labels)
    np.testing.assert_allclose(
        fit("label-spreading", data, alpha=0.5), model.label_distributions_, atol=1e-9
    )


@pytest.mark.parametrize("alpha", [0.5, 0.95])
def test_label_propagation_is_its_closed_form(alpha):
    """Y_u = (I - alpha P_uu)^-1 alpha P_ul Y_l, P the mean over what a node receives."""
    data = class_data()
    num = len(data.labels)
    mean = np.zeros((num, num))
    for src, dst in data.edges.T:
        mean[dst, src] += 1.0
    mean /= np.maximum(mean.sum(1, keepdims=True), 1.0)
    known, unknown = data.labels >= 0, data.labels < 0
    scores = dense_one_hot(data)
    scores[unknown] = np.linalg.solve(
        np.eye(unknown.sum()) - alpha * mean[np.ix_(unknown, unknown)],
        alpha * mean[np.ix_(unknown, known)] @ scores[known],
    )
    got = fit("label-propagation", data, alpha=alpha, steps=400.0)
    np.testing.assert_allclose(got, scaled(scores, data), atol=1e-5)


def test_label_propagation_follows_the_direction():
    """0 sends to 1, 1 to 2; nothing comes back to 3, which only sends."""
    data = class_data(num=8)
    labels = np.array([0, -1, -1, -1, 1, 1, -1, -1])
    edges = np.array([[0, 1, 3], [1, 2, 0]])
    data = replace(data, labels=labels, edges=edges, weight=np.ones(3, np.float32))
    got = fit("label-propagation", data, alpha=1.0, steps=5.0)
    np.testing.assert_allclose(got[:3], [[1, 0, 0]] * 3)
    np.testing.assert_allclose(got[3], [1 / 3, 2 / 3, 0])


def slow_propagation(matrix, start, alpha, after):
    """Node by node, as PyG's LabelPropagation defines it."""
    value = start.copy()
    for _ in range(correct_and_smooth.STEPS):
        new = np.zeros_like(value)
        for node in range(len(value)):
            for other in range(len(value)):
                new[node] += alpha * matrix[node, other] * value[other]
            new[node] += (1 - alpha) * start[node]
        value = after(new)
    return value


def star(num=16):
    """Node 0 hears all others, fitted and wrong alike: more error than one node can hold."""
    data = class_data(num=num)
    leaf = np.arange(1, num)
    log_prior = np.log(np.tile(np.float32([0.98, 0.01, 0.01]), (num, 1)))
    return replace(
        data,
        labels=np.concatenate([[-1, 2], np.ones(num - 4, np.int64), [-1, -1]]),
        log_prior=log_prior,
        edges=np.stack([leaf, np.zeros_like(leaf)]),
        weight=np.ones(num - 1, np.float32),
    )


@pytest.mark.parametrize("data", [class_data(num=16), star()], ids=["knn", "star"])
@pytest.mark.parametrize("autoscale", [0.0, 1.0])
def test_correct_and_smooth_is_the_slow_one(autoscale, data):
    matrix, labels = dense_normalised(data), dense_one_hot(data)
    known = data.labels >= 0
    prior = np.exp(data.log_prior.astype(float))
    prior /= prior.sum(1, keepdims=True)
    error = np.where(known[:, None], labels - prior, 0.0)
    if autoscale:
        spread = slow_propagation(matrix, error, 0.8, lambda value: value.clip(-1, 1))
        size = np.abs(error[known]).sum() / known.sum()
        for node in range(len(prior)):
            reached = np.abs(spread[node]).sum()
            scale = size / reached if reached else 1.0
            prior[node] += (scale if scale <= 1000 else 1.0) * spread[node]
    else:
        fixed = lambda value: np.where(known[:, None], error, value)  # noqa: E731
        prior += slow_propagation(matrix, error, 0.8, fixed)
    start = np.where(known[:, None], labels, prior)
    expected = slow_propagation(matrix, start, 0.6, lambda value: value.clip(0, 1))
    got = fit("correct-and-smooth", data, correct_alpha=0.8, smooth_alpha=0.6, autoscale=autoscale)
    np.testing.assert_allclose(got, scaled(expected, data), atol=1e-9)


def test_smooth_reaches_its_closed_form():
    """On a ring every step is a mean of probabilities, so nothing is ever clipped."""
    data = ring()
    known, rows = dense_one_hot(data), np.flatnonzero(data.labels >= 0)
    prior = np.exp(data.log_prior.astype(float))
    prior /= prior.sum(1, keepdims=True)
    matrix = normalised_adjacency(data)
    got = correct_and_smooth.smooth(prior, known, rows, matrix, 0.7, steps=200)
    start = np.where(known.sum(1, keepdims=True) > 0, known, prior)
    expected = np.linalg.solve(np.eye(12) - 0.7 * matrix.toarray(), 0.3 * start)
    np.testing.assert_allclose(got, expected, atol=1e-9)
    np.testing.assert_allclose(got.sum(1), 1, atol=1e-9)


def test_correct_with_errors_set_back_reaches_its_closed_form():
    """E_u = (I - alpha S_uu)^-1 alpha S_uk E_k."""
    data = ring()
    known, fitted = dense_one_hot(data), data.labels >= 0
    prior = np.exp(data.log_prior.astype(float))
    matrix = normalised_adjacency(data)
    got = correct_and_smooth.correct(
        prior, known, np.flatnonzero(fitted), matrix, 0.7, autoscale=False, steps=300
    )
    dense, error = matrix.toarray(), known - prior
    other = ~fitted
    spread = np.linalg.solve(
        np.eye(other.sum()) - 0.7 * dense[np.ix_(other, other)],
        0.7 * dense[np.ix_(other, fitted)] @ error[fitted],
    )
    np.testing.assert_allclose(got[other] - prior[other], spread, atol=1e-9)
    np.testing.assert_allclose(got[fitted], known[fitted], atol=1e-12)


def test_a_perfect_prior_leaves_nothing_to_correct():
    """What an in-sample prior does: no error on FIT, so the prior comes back."""
    data = ring()
    known, rows = dense_one_hot(data), np.flatnonzero(data.labels >= 0)
    prior = np.full(known.shape, 1 / 3)
    prior[rows] = known[rows]
    for autoscale in (False, True):
        got = correct_and_smooth.correct(
            prior, known, rows, normalised_adjacency(data), 0.8, autoscale=autoscale
        )
        np.testing.assert_array_equal(got, prior)
