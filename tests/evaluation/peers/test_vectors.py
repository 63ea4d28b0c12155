"""Peers on features and prior alone, against plain loops and the definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from rrnet_cli.errors import InputError
from rrnet_cli.evaluation.peers import fitted_cosines, knn, temperature
from tests.evaluation.peers.data import class_data, dense_one_hot, fit


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def cosine(left, right):
    return left @ right / np.linalg.norm(left) / np.linalg.norm(right)


def nll(data, value):
    probability = softmax(data.log_prior[data.select].astype(float) / value)
    return -np.log(probability[np.arange(len(data.select)), data.select_labels]).mean()


def test_temperature_is_that_of_a_fine_scan():
    data = class_data()
    found = temperature.best_temperature(data)
    scan = np.geomspace(*temperature.RANGE, 3000)
    best = scan[np.argmin([nll(data, value) for value in scan])]
    assert found == pytest.approx(best, rel=0.01)
    expected = softmax(data.log_prior.astype(float) / found)
    np.testing.assert_allclose(fit("temperature", data), expected, atol=1e-12)


@given(st.integers(0, 10_000), st.floats(0.1, 20))
@settings(max_examples=40, deadline=None)
def test_temperature_never_changes_the_first_place(seed, sharpness):
    data = class_data(seed)
    logits = data.log_prior.astype(float) * sharpness
    log_prior = (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)
    data = replace(data, log_prior=log_prior)
    np.testing.assert_array_equal(fit("temperature", data).argmax(1), log_prior.argmax(1))


def test_logreg_is_the_minimum_of_its_loss():
    """Gradient of the sum of cross entropies + |W|²/(2C), from the answers alone."""
    data = class_data(num=120)
    fitted = data.labels >= 0
    inputs = data.features[fitted].astype(float)
    residual = fit("logreg", data, C=0.1)[fitted] - dense_one_hot(data)[fitted]
    # At the minimum W = -C Σ residual x, so the logits follow from the residuals.
    weights = -0.1 * residual.T @ inputs
    logits = data.features @ weights.T
    answers = np.log(fit("logreg", data, C=0.1))
    differences = (answers - logits) - (answers - logits).mean(1, keepdims=True)
    np.testing.assert_allclose(differences, differences[:1].repeat(120, 0), atol=0.02)


@pytest.mark.parametrize("views", [False, True])
@pytest.mark.parametrize("held", [False, True])
def test_logreg_prior_is_logreg_on_features_and_answers_fitted_on_held_ones_if_any(views, held):
    data = class_data(num=120)
    fitted = data.labels >= 0
    prior = data.log_prior.astype(float)
    if views:
        other = class_data(seed=1, num=120).log_prior
        data, prior = replace(data, log_views=other), np.hstack([prior, other])
    if held:
        fitted &= np.arange(120) < 80
        data = replace(data, held=fitted)
    prior = (prior - prior.mean(0)) / prior.std(0)
    inputs = np.hstack([data.features, prior])
    model = LogisticRegression(C=0.1, tol=1e-8, max_iter=5000)
    expected = model.fit(inputs[fitted], data.labels[fitted]).predict_proba(inputs)
    np.testing.assert_allclose(fit("logreg-prior", data, C=0.1), expected, atol=2e-3)


@pytest.mark.parametrize("k", [1, 4, 10])
def test_knn_is_scikit_learns_on_what_was_not_fitted(k):
    data = class_data()
    fitted = data.labels >= 0
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute")
    model.fit(data.features[fitted], data.labels[fitted])
    expected = model.predict_proba(data.features[~fitted])
    np.testing.assert_allclose(fit("knn", data, k=float(k))[~fitted], expected)


def test_knn_leaves_a_fitted_instance_out_of_its_own_vote():
    data = class_data()
    fitted = np.flatnonzero(data.labels >= 0)
    for row in fitted[:6]:
        others = [other for other in fitted if other != row]
        near = sorted(others, key=lambda o: -cosine(data.features[row], data.features[o]))[:3]
        expected = np.bincount(data.labels[near], minlength=3) / 3
        np.testing.assert_allclose(fit("knn", data, k=3.0)[row], expected)


def test_knn_with_more_neighbours_than_there_are_takes_all_others():
    data = class_data(num=12)
    fitted = np.flatnonzero(data.labels >= 0)
    known = dense_one_hot(data)
    got = fit("knn", data, k=500.0)
    for row in fitted:
        expected = known.sum(0) - known[row]
        np.testing.assert_allclose(got[row], expected / expected.sum())


def test_tip_adapter_is_its_formula():
    data = class_data()
    num = len(data.labels)
    logits = data.log_prior.astype(float)
    for row in range(num):
        for other in range(num):
            if data.labels[other] >= 0 and other != row:
                near = cosine(data.features[row], data.features[other])
                logits[row, data.labels[other]] += 0.3 * np.exp(-5.5 * (1 - near))
    got = fit("tip-adapter", data, beta=5.5, alpha=0.3)
    np.testing.assert_allclose(got, softmax(logits), atol=1e-6)


def test_small_blocks_are_the_large_one():
    data = class_data()
    whole = [block.clone() for _, block in fitted_cosines.cosine_blocks(data)]
    parts = [block.clone() for _, block in fitted_cosines.cosine_blocks(data, block_bytes=700)]
    assert len(whole) == 1 and len(parts) > 5
    np.testing.assert_allclose(whole[0], np.concatenate(parts), atol=1e-6)
    fitted = np.flatnonzero(data.labels >= 0)
    assert np.isneginf(whole[0][fitted, np.arange(len(fitted))]).all()
    assert int(np.isneginf(whole[0]).sum()) == len(fitted)


def test_bad_features_are_named():
    data = class_data()
    features = data.features.copy()
    features[7, 2] = np.nan
    with pytest.raises(InputError, match="row 7"):
        fit("knn", replace(data, features=features))


def test_the_last_answer_is_remembered_for_the_same_arrays_only(monkeypatch):
    searches = []
    search = fitted_cosines.cosine_blocks
    monkeypatch.setattr(knn, "cosine_blocks", lambda data: searches.append(1) or search(data))
    data = class_data(seed=9)
    fit("knn", data, k=3.0)
    fit("knn", data, k=5.0)
    assert len(searches) == 1
    data = replace(data, labels=np.where(data.labels >= 0, (data.labels + 1) % 3, -1))
    fit("knn", data, k=5.0)
    fit("knn", replace(data, features=data.features[::-1].copy()), k=5.0)
    assert len(searches) == 3
