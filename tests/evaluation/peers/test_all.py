"""What holds for every classification peer: probabilities, no leak, the same answer again."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.evaluation.peers.tune import tune
from rrnet_cli.progress import SilentReporter
from tests.evaluation.peers.data import PEERS, READ_SELECT, TRAINED, class_data, fit, renumber

ALL = sorted(PEERS)


@pytest.mark.parametrize("name", ALL)
def test_rows_are_probabilities(name):
    data = class_data()
    probability = fit(name, data)
    assert probability.dtype == np.float64
    assert probability.shape == data.log_prior.shape
    assert (probability >= 0).all()
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(ALL) - set(READ_SELECT)))
def test_labels_of_select_never_matter(name):
    data = class_data()
    other = replace(data, select_labels=(data.select_labels + 1) % 3)
    np.testing.assert_array_equal(fit(name, data), fit(name, other))


@pytest.mark.parametrize("name", READ_SELECT)
def test_labels_of_select_choose_where_they_should(name):
    data = class_data()
    other = replace(data, select_labels=(data.select_labels + 1) % 3)
    assert (fit(name, data) != fit(name, other)).any()


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_bits(name):
    data = class_data()
    again = replace(data, features=data.features.copy(), labels=data.labels.copy())
    np.testing.assert_array_equal(fit(name, data, seed=3), fit(name, again, seed=3))


@pytest.mark.parametrize("name", TRAINED)
def test_another_seed_differs_and_the_global_generator_stays(name):
    data = class_data()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert (fit(name, data, seed=0) != fit(name, data, seed=1)).any()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ALL)
def test_test_instances_are_alike_whatever_their_number(name):
    """Permute the test instances: so are the answers, and no other answer changes."""
    data = class_data()
    test = np.setdiff1d(np.flatnonzero(data.labels < 0), data.select)
    order = np.arange(len(data.labels))
    order[test] = np.random.default_rng(1).permutation(test)
    # Dropout is drawn by place, so there is none here.
    params = {"dropout": 0.0} if name in TRAINED else {}
    mine, theirs = fit(name, data, **params), fit(name, renumber(data, order), **params)
    np.testing.assert_allclose(mine[order], theirs, atol=1e-3 if name in TRAINED else 1e-6)


@pytest.mark.parametrize("name", ["logreg", "knn", "tip-adapter", "temperature"])
def test_inductive_peers_ignore_other_test_instances(name):
    data = class_data()
    test = np.setdiff1d(np.flatnonzero(data.labels < 0), data.select)
    features, log_prior = data.features.copy(), data.log_prior.copy()
    features[test] += 3
    log_prior[test] = log_prior[test][:, ::-1]
    other = replace(data, features=features, log_prior=log_prior)
    rest = np.setdiff1d(np.arange(len(features)), test)
    np.testing.assert_allclose(fit(name, data)[rest], fit(name, other)[rest], atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_inputs_are_left_as_they_were(name):
    data = class_data()
    before = {field.name: copy.deepcopy(getattr(data, field.name)) for field in fields(data)}
    fit(name, data)
    for field, value in before.items():
        np.testing.assert_array_equal(getattr(data, field), value)


@pytest.mark.parametrize("name", ALL)
def test_a_class_without_fitted_instance_keeps_its_column(name):
    data = class_data()
    wide = np.hstack([np.full((len(data.labels), 1), -9, np.float32), data.log_prior])
    data = replace(
        data,
        log_prior=wide,
        labels=np.where(data.labels >= 0, data.labels + 1, -1),
        select_labels=data.select_labels + 1,
    )
    probability = fit(name, data)
    assert probability.shape[1] == 4
    assert (probability.argmax(1) > 0).mean() > 0.9


@pytest.mark.parametrize("name", sorted(set(ALL) - {"temperature"}))
def test_one_class_to_fit_on_is_refused(name):
    data = class_data()
    with pytest.raises(InputError, match="fewer than two classes"):
        fit(name, replace(data, labels=np.where(data.labels == 0, 0, -1)))


@pytest.mark.parametrize("name", ALL)
def test_nothing_to_choose_on_is_refused(name):
    none = np.empty(0, np.int64)
    data = replace(class_data(), select=none, select_labels=none)
    with pytest.raises(ConfigError, match="no select instances"):
        tune(PEERS[name], data, 0, SilentReporter())


@pytest.mark.parametrize("name", ALL)
def test_every_value_of_the_grid_is_taken(name):
    """Each setting is read: an extreme of the grid answers differently from the other."""
    peer, data = PEERS[name], class_data()
    middle = {key: values[len(values) // 2] for key, values in peer.grid.items()}
    for key, values in peer.grid.items():
        if len(values) > 1:
            low, high = (
                peer.fit(data, middle | {key: value}, 0, SilentReporter())
                for value in (values[0], values[-1])
            )
            assert (low != high).any(), key
