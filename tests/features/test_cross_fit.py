"""Out-of-fold priors: what is given is what a baseline without the instance says."""

from __future__ import annotations

import numpy as np
import pytest

from rrnet_cli.datasets.base import FIT, HOLD, SELECT
from rrnet_cli.datasets.parts import fit_parts
from rrnet_cli.features.cross_fit import out_of_fold
from rrnet_cli.features.linear import fit_linear

from .test_linear import clouds


def cross_fitted(features, labels, roles, parts):
    def refit(_part, without, rows):
        return fit_linear(features, labels, without, 3).logits[rows]

    return out_of_fold(fit_linear(features, labels, roles, 3).logits, roles, parts, refit)


def test_each_part_is_held_out_once_and_the_others_keep_their_prior():
    roles = np.array([FIT, SELECT, FIT, HOLD, FIT], np.int8)
    parts = np.array([1, -1, 0, -1, 1])
    asked = []

    def refit(part, without, rows):
        asked.append((part, without.tolist(), rows.tolist()))
        return np.full(len(rows), 10 + part, np.float32)

    prior = np.arange(5, dtype=np.float32)
    assert out_of_fold(prior, roles, parts, refit).tolist() == [11, 1, 10, 3, 11]
    assert asked == [
        (0, [FIT, SELECT, HOLD, HOLD, FIT], [2]),
        (1, [HOLD, SELECT, FIT, HOLD, HOLD], [0, 4]),
    ]
    assert prior.tolist() == [0, 1, 2, 3, 4]
    assert roles.tolist() == [FIT, SELECT, FIT, HOLD, FIT]


@pytest.mark.parametrize("row", [0, 33, 87])
def test_the_prior_of_an_instance_does_not_depend_on_its_own_label(row):
    features, labels, roles = clouds()
    assert roles[row] == FIT
    parts = fit_parts(roles, 5, seed=0, labels=labels)
    changed = labels.copy()
    changed[row] = (labels[row] + 1) % 3
    before = cross_fitted(features, labels, roles, parts)
    after = cross_fitted(features, changed, roles, parts)
    same_part = parts == parts[row]
    assert (before[same_part] == after[same_part]).all()
    # the label does matter to the other parts, and to the prior in-sample
    assert (before[(parts >= 0) & ~same_part] != after[(parts >= 0) & ~same_part]).any()
    in_sample = [fit_linear(features, y, roles, 3).logits[row] for y in (labels, changed)]
    assert (in_sample[0] != in_sample[1]).any()


def test_out_of_fold_logits_are_less_sure_than_those_in_sample():
    """On labels by chance a linear model fits much and knows nothing."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(90, 40)).astype(np.float32)
    labels, roles = rng.integers(0, 3, 90), np.zeros(90, np.int8)
    parts = fit_parts(roles, 5, seed=0, labels=labels)
    seen = fit_linear(features, labels, roles, 3).logits
    unseen = cross_fitted(features, labels, roles, parts)
    assert (seen.argmax(1) == labels).mean() > 0.7
    assert (unseen.argmax(1) == labels).mean() < 0.5
