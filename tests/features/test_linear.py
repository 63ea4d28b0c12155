"""The linear baseline: its weights reproduce its logits, and only FIT decides them."""

from __future__ import annotations

import numpy as np
import pytest

from rrnet_cli.datasets.base import FIT, HOLD, SELECT, TEST
from rrnet_cli.errors import InputError
from rrnet_cli.features.linear import fit_linear, flatten_pixels, top1


def clouds(num_classes=3, each=30, dim=5, seed=0):
    """Gaussian clouds, a third of each class a role."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), each)
    centres = rng.normal(size=(num_classes, dim)) * 3
    features = (centres[labels] + rng.normal(size=(len(labels), dim))) * 100 + 1000
    roles = np.tile([FIT, SELECT, TEST], len(labels) // 3).astype(np.int8)
    return features.astype(np.float32), labels, roles


def test_weights_reproduce_the_logits():
    features, labels, roles = clouds()
    model = fit_linear(features, labels, roles, 3)
    weights = model.weights
    logits = (features - weights["mean"]) / weights["scale"] @ weights["coef"].T
    np.testing.assert_allclose(model.logits, logits + weights["intercept"], atol=1e-3)
    assert model.converged
    assert {w.dtype for w in weights.values()} == {np.dtype(np.float32)}


def test_gradient_of_the_penalised_loss_is_zero():
    """The optimum of sum of cross-entropy + |W|²/2 on standardised FIT, from its definition."""
    features, labels, roles = clouds()
    model = fit_linear(features, labels, roles, 3)
    fit = roles == FIT
    inputs = model.standardise(features)[fit].astype(np.float64)
    logits = model.logits[fit].astype(np.float64)
    prob = np.exp(logits - logits.max(1, keepdims=True))
    prob /= prob.sum(1, keepdims=True)
    residual = prob - np.eye(3)[labels[fit]]
    gradient = residual.T @ inputs + model.weights["coef"]
    assert np.abs(gradient).max() < 0.02
    assert np.abs(residual.sum(0)).max() < 0.02


def test_only_fit_rows_decide():
    features, labels, roles = clouds()
    model = fit_linear(features, labels, roles, 3)
    other_features, other_labels = features.copy(), labels.copy()
    other_features[roles != FIT] += 500
    other_labels[roles != FIT] = 0
    other = fit_linear(other_features, other_labels, roles, 3)
    for name, weight in model.weights.items():
        np.testing.assert_array_equal(weight, other.weights[name])


def test_standardise_centres_fit():
    features, labels, roles = clouds()
    standardised = fit_linear(features, labels, roles, 3).standardise(features)[roles == FIT]
    np.testing.assert_allclose(standardised.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised.std(0), 1, atol=1e-4)


def test_two_classes_have_two_logits():
    features, labels, roles = clouds(num_classes=2)
    model = fit_linear(features, labels, roles, 2)
    assert model.logits.shape == (60, 2)
    assert top1(model.logits, labels, roles)["fit_top1"] > 90


def test_a_class_without_fitted_instances_is_last():
    features, labels, roles = clouds(num_classes=4)
    roles[(labels == 1) & (roles == FIT)] = TEST
    model = fit_linear(features, labels, roles, 4)
    assert np.isfinite(model.logits).all()
    centre = model.weights["mean"][None]
    logits = (centre - model.weights["mean"]) @ model.weights["coef"].T + model.weights["intercept"]
    assert logits.argmin() == 1


def test_constant_columns_stay_small():
    features, labels, roles = clouds()
    features[:, 2] = 0.1
    model = fit_linear(features, labels, roles, 3)
    assert np.abs(model.standardise(features)[:, 2]).max() < 1e-5


def test_top1_never_reads_test():
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    labels = np.array([0, 2, 2, 1])
    roles = np.array([FIT, FIT, SELECT, TEST], np.int8)
    assert top1(logits, labels, roles) == {"fit_top1": 50.0, "select_top1": 100.0}
    held = np.array([FIT, HOLD, SELECT, TEST], np.int8)
    assert top1(logits, labels, held) == {
        "fit_top1": 100.0, "hold_top1": 0.0, "select_top1": 100.0
    }  # fmt: skip
    none = top1(logits, labels, np.full(4, FIT, np.int8))
    assert np.isnan(none["select_top1"])


def test_refusals():
    features, labels, roles = clouds()
    with pytest.raises(InputError, match="fewer than two classes"):
        fit_linear(features, np.zeros_like(labels), roles, 3)
    features[7, 1] = np.nan
    with pytest.raises(InputError, match="instance 7 hold NaN"):
        fit_linear(features, labels, roles, 3)


def test_flatten_pixels():
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (4, 2, 3, 3), dtype=np.uint8)
    flat = flatten_pixels(colour)
    assert flat.shape == (4, 18)
    assert flat.dtype == np.float32
    assert flat[1, 5] == pytest.approx(colour[1, 0, 1, 2] / 255)
    grey = np.repeat(colour[..., :1], 3, axis=3)
    np.testing.assert_allclose(flatten_pixels(grey), grey[..., 0].reshape(4, 6) / 255, rtol=1e-6)
