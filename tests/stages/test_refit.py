from __future__ import annotations

from types import SimpleNamespace

import dgl
import numpy as np
import pyarrow as pa
import pytest
import torch

from rrnet_cli.datasets.base import FIT, HOLD
from rrnet_cli.features.linear import fit_linear
from rrnet_cli.features.rating_bias import RatingTable, fit_bias
from rrnet_cli.graphs.candidates import log_softmax
from rrnet_cli.progress import SilentReporter
from rrnet_cli.stages._refit import refit_of, unseen_prior


def classes(
    labels: np.ndarray,
    matrix: np.ndarray,
    backbone: str = "logmel",
    fitted: int = 20,
    prior: str = "in-sample",
    logits: np.ndarray | None = None,
) -> SimpleNamespace:
    """What is read of the features artifact of a classification into three labels."""
    roles = np.where(np.arange(len(labels)) < fitted, "fit", "test")
    arrays = {"features.safetensors": {"audio": matrix}, "prior.safetensors": {"logits": logits}}
    tables = {
        "instances.parquet": {"label": labels, "role": roles},
        "labels.parquet": {"name": list("abc")},
    }
    return SimpleNamespace(
        manifest=SimpleNamespace(summary={"backbone": backbone, "left": "audio", "prior": prior}),
        arrays=arrays.__getitem__,
        table=lambda name, columns=None: pa.table(tables[name]),
    )


@pytest.fixture
def problem() -> tuple[dgl.DGLGraph, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    matrix = (rng.normal(size=(3, 5))[labels] + rng.normal(size=(30, 5))).astype(np.float32)
    left, right = np.repeat(np.arange(30), 2), rng.integers(0, 3, 60)
    graph = dgl.heterograph(
        {("audio", "inter", "text"): (torch.tensor(left), torch.tensor(right))},
        {"audio": 30, "text": 3},
    )
    return graph, labels, matrix


def test_a_linear_baseline_is_fitted_on_the_shown_instances(problem) -> None:
    graph, labels, matrix = problem
    left, right = (ids.numpy() for ids in graph.edges())
    known = left < 20
    refit = refit_of(graph, classes(labels, matrix), None)
    assert refit is not None
    logits = fit_linear(matrix, labels, np.where(np.arange(30) < 20, FIT, HOLD), 3).logits
    np.testing.assert_allclose(refit(known), log_softmax(logits)[left, right], rtol=1e-6)


def test_the_prior_of_fitted_instances_is_of_baselines_that_did_not_see_them() -> None:
    """Learning each part's own labels makes the in-sample prior right, and not this one."""
    rng = np.random.default_rng(0)
    labels, matrix = np.arange(60) % 3, rng.normal(size=(60, 80)).astype(np.float32)
    roles = np.where(np.arange(60) < 50, FIT, HOLD).astype(np.int8)
    logits = fit_linear(matrix, labels, roles, 3).logits
    features = classes(labels, matrix, fitted=50, logits=logits)
    unseen = unseen_prior(features, SilentReporter())
    assert (logits[:50].argmax(1) == labels[:50]).all()
    assert (unseen[:50].argmax(1) == labels[:50]).mean() < 0.6, "noise tells nothing"
    np.testing.assert_array_equal(unseen[50:], logits[50:])
    other = np.where(np.arange(60) < 50, labels, (labels + 1) % 3)
    again = unseen_prior(classes(other, matrix, fitted=50, logits=logits), SilentReporter())
    np.testing.assert_array_equal(again, unseen)


@pytest.mark.parametrize(
    "features",
    [
        {"backbone": "resnet18"},
        {"prior": "out-of-fold"},
        {"fitted": 4},
        {"labels": np.array([0, 0, 0, 0, 1] + 55 * [2]), "fitted": 5},
    ],
    ids=["a network", "out of fold already", "too few", "a class of one"],
)
def test_else_the_prior_stays_as_it_is(features: dict) -> None:
    logits = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    matrix = np.random.default_rng(1).normal(size=(60, 5)).astype(np.float32)
    given = {"labels": np.arange(60) % 3, "matrix": matrix, "logits": logits} | features
    assert unseen_prior(classes(**given), SilentReporter()) is logits


def test_no_label_that_is_not_shown_is_read(problem) -> None:
    graph, labels, matrix = problem
    known = graph.edges()[0].numpy() < 20
    one, other = (
        refit_of(graph, classes(given, matrix), None)(known)
        for given in (labels, np.where(np.arange(30) < 20, labels, (labels + 1) % 3))
    )
    np.testing.assert_array_equal(one, other)


def test_a_label_that_is_not_fitted_is_never_read(problem, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, labels, matrix = problem
    given = []

    def spy(matrix, labels, *rest):
        given.append(labels)
        return fit_linear(matrix, labels, *rest)

    monkeypatch.setattr("rrnet_cli.stages._refit.fit_linear", spy)
    refit_of(graph, classes(labels, matrix), None)(graph.edges()[0].numpy() < 20)
    np.testing.assert_array_equal(given[0], np.where(np.arange(30) < 20, labels, -1))


def test_networks_are_not_refitted(problem) -> None:
    graph, labels, matrix = problem
    assert refit_of(graph, classes(labels, matrix, "envnet"), None) is None


def test_the_bias_model_is_fitted_on_the_shown_ratings() -> None:
    rng = np.random.default_rng(0)
    user, item = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    rating = rng.uniform(1, 5, 30).astype(np.float32)
    graph = dgl.heterograph(
        {("user", "inter", "item"): (torch.tensor(user), torch.tensor(item))},
        {"user": 6, "item": 5},
    )
    known = rng.random(30) < 0.6
    hidden = np.where(known, rating, np.nan).astype(np.float32)
    graph.edges["inter"].data["target"] = torch.tensor(hidden)
    facts = {"user_reg": 2.0, "item_reg": 3.0, "select_rmse": 0.9}
    features = SimpleNamespace(manifest=SimpleNamespace(summary={"baseline": facts}))
    refit = refit_of(graph, features, (1.0, 5.0))
    assert refit is not None
    expected = fit_bias(
        RatingTable(user[known], item[known], rating[known]), 6, 5,
        scale=(1.0, 5.0), user_reg=2.0, item_reg=3.0,
    ).predict(user, item)  # fmt: skip
    np.testing.assert_allclose(refit(known), expected)
