"""Stretched crops against whole clips, stretched and padded one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.features.batches import ClipInputs
from rrnet_cli.features.strong_augment import random_gain, stretched_crops


def some_clips(lengths: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(-30_000, 30_000, length).astype(np.int16) for length in lengths]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    half=st.integers(1, 25),
    seed=st.integers(0, 2**32 - 1),
)
def test_crops_are_of_clips_stretched_and_padded_one_by_one(
    lengths: list[int], half: int, seed: int
) -> None:
    clips, width = some_clips(lengths), 2 * half
    index = np.random.default_rng(seed).integers(0, len(clips), 5)
    crops = ClipInputs(clips, width, strong=True).crops(index, np.random.default_rng(seed))
    assert crops.dtype == torch.float32

    rng = np.random.default_rng(seed)
    stretches = 1.25 ** rng.uniform(-1, 1, 5)
    longer = []
    for i, stretch in zip(index, stretches, strict=True):
        clip, length = clips[i], max(1, int(len(clips[i]) * stretch))
        # np.interp holds the last sample beyond the end.
        longer.append(np.interp(np.arange(length) / stretch, np.arange(len(clip)), clip))
    starts = rng.integers(0, [len(clip) + 1 for clip in longer])
    expected = [
        np.pad(clip, half)[start : start + width]
        for clip, start in zip(longer, starts, strict=True)
    ]
    np.testing.assert_allclose(crops.numpy() * 32_768, expected, rtol=1e-5, atol=0.05)


def test_lengths_lie_between_four_fifths_and_five_quarters() -> None:
    """Clips of ones in crops wide enough for all of them: what is one is the stretched clip."""
    samples, length = np.ones(1000, dtype=np.int16), np.full(1000, 1000)
    first = np.zeros(1000, dtype=np.int64)
    crops = stretched_crops(samples, first, length, 2600, np.random.default_rng(0))
    assert set(np.unique(crops)) == {0.0, 1.0}
    lengths = crops.sum(1)
    assert 800 <= lengths.min() < 805
    assert 1245 < lengths.max() <= 1250
    # U(-1, 1) in the exponent: as many get shorter as longer.
    assert np.median(lengths) == pytest.approx(1000, abs=15)


def test_without_it_crops_are_the_samples_themselves() -> None:
    plain = ClipInputs(some_clips([50, 9]), 8)
    index = np.array([0, 1, 0])
    crops = plain.crops(index, np.random.default_rng(3))
    assert torch.equal(crops, plain.train_batch(index, np.random.default_rng(3)))
    assert crops.dtype == torch.int16


def test_the_gain_is_six_decibels_at_most_and_uniform_in_decibels() -> None:
    crops = torch.rand(4000, 3) + 0.1
    louder = random_gain(crops, np.random.default_rng(0))
    factor = louder / crops
    torch.testing.assert_close(factor, factor[:, :1].expand(-1, 3))
    decibels = 20 * factor[:, 0].log10().numpy()
    assert -6 - 1e-4 <= decibels.min() < -5.98
    assert 5.98 < decibels.max() <= 6 + 1e-4
    quarters = np.histogram(decibels, bins=4, range=(-6.001, 6.001))[0]
    assert quarters.min() > 900


def test_training_views_are_crops_with_a_gain_and_test_views_are_plain() -> None:
    strong, plain = (ClipInputs(some_clips([90, 70]), 40, 3, strong=on) for on in (True, False))
    index = np.array([0, 1])
    rng = np.random.default_rng(5)
    expected = random_gain(strong.crops(index, rng), rng)
    assert torch.equal(strong.train_batch(index, np.random.default_rng(5)), expected)
    assert torch.equal(strong.test_batch(index), plain.test_batch(index))
