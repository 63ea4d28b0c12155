"""Uniform attributes: range, distribution, and independence of the streams."""

from __future__ import annotations

import numpy as np

from rrnet_cli.features.uniform import uniform_attributes


def test_shape_type_and_range():
    table = uniform_attributes(500, 128, seed=0)
    assert table.shape == (500, 128)
    assert table.dtype == np.float32
    assert table.min() >= 0
    assert table.max() < 1


def test_is_uniform():
    counts = np.histogram(uniform_attributes(1000, 128, seed=1), bins=10, range=(0, 1))[0]
    expected = 12_800
    # Chi-squared of 9 degrees of freedom is above 40 once in a hundred thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 40


def test_same_seed_same_values_and_a_prefix_of_more_nodes():
    small, large = uniform_attributes(3, 4, seed=5), uniform_attributes(9, 4, seed=5)
    np.testing.assert_array_equal(small, large[:3])


def test_seeds_and_streams_differ():
    tables = [uniform_attributes(8, 4, seed=s, stream=t) for s in (0, 1) for t in (0, 1)]
    for first in range(4):
        for second in range(first):
            assert not np.array_equal(tables[first], tables[second])
