"""Parts of cross-fitting: a partition of FIT, even in every class, whole groups, seeded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.datasets.base import FIT, HOLD, SELECT, TEST
from rrnet_cli.datasets.parts import fit_parts
from rrnet_cli.errors import ConfigError

ROLES = st.lists(st.sampled_from([FIT, FIT, FIT, SELECT, TEST, HOLD]), min_size=10, max_size=80)
SEEDS = st.integers(0, 2**32)


def classes_of(roles: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, len(roles))


@settings(deadline=None)
@given(ROLES, st.integers(2, 6), SEEDS)
def test_parts_are_a_partition_of_fit_even_in_every_class(codes, num_parts, seed):
    roles = np.array(codes + [FIT] * num_parts, np.int8)
    labels = classes_of(roles, seed)
    parts = fit_parts(roles, num_parts, seed, labels=labels)
    assert ((parts >= 0) == (roles == FIT)).all()
    for rows in (roles == FIT, *((roles == FIT) & (labels == label) for label in range(4))):
        sizes = np.bincount(parts[rows], minlength=num_parts)
        assert len(sizes) == num_parts
        assert sizes.max() - sizes.min() <= 1
    assert (parts == fit_parts(roles, num_parts, seed, labels=labels)).all()


@settings(deadline=None)
@given(SEEDS, st.integers(2, 5))
def test_groups_stay_whole_and_classes_even(seed, num_parts):
    """Groups of one class each: no part has more of a class than the least by over one group."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, 30)
    groups = np.repeat(rng.permutation(30), sizes)
    labels, roles = groups % 3, np.full(len(groups), FIT, np.int8)
    parts = fit_parts(roles, num_parts, seed, labels=labels, groups=groups)
    assert all(len(set(parts[groups == group])) == 1 for group in range(30))
    for label in range(3):
        counts = np.bincount(parts[labels == label], minlength=num_parts)
        assert counts.max() - counts.min() <= 3


@given(SEEDS)
def test_only_roles_and_labels_of_fit_decide(seed):
    roles = np.random.default_rng(seed).integers(0, 4, 60).astype(np.int8)
    labels = classes_of(roles, seed)
    other = np.where(roles == FIT, labels, (labels + 1) % 4)
    assert (fit_parts(roles, 2, 0, labels=labels) == fit_parts(roles, 2, 0, labels=other)).all()


def test_seeds_differ():
    roles = np.zeros(40, np.int8)
    assert (fit_parts(roles, 4, 0) != fit_parts(roles, 4, 1)).any()


def test_too_many_parts():
    roles = np.array([FIT, FIT, FIT, TEST], np.int8)
    assert sorted(fit_parts(roles, 3, 0)) == [-1, 0, 1, 2]
    with pytest.raises(ConfigError, match="--cross-fit 4: there are too few instances"):
        fit_parts(roles, 4, 0)
    with pytest.raises(ConfigError, match="too few groups"):
        fit_parts(roles, 3, 0, groups=np.array([5, 5, 6, 7]))
