"""Vectorised cropping against a loop over single instances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.features.batches import (
    ClipInputs,
    ImageInputs,
    chunks,
    crop_and_flip,
    fixed_views,
    split_batches,
)


def random_images(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def crop_and_flip_one_by_one(images: np.ndarray, rng: np.random.Generator, pad: int) -> np.ndarray:
    count, height, width, _ = images.shape
    top, left = rng.integers(0, 2 * pad + 1, count), rng.integers(0, 2 * pad + 1, count)
    flip = rng.random(count) < 0.5
    crops = []
    for i, image in enumerate(images):
        padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
        crop = padded[top[i] : top[i] + height, left[i] : left[i] + width]
        crops.append(crop[:, ::-1] if flip[i] else crop)
    return np.stack(crops)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 9),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    pad=st.integers(0, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_crop_and_flip_is_the_loop(
    count: int, height: int, width: int, pad: int, seed: int
) -> None:
    images = random_images(count, height, width, 3, seed=seed)
    before = images.copy()
    ours = crop_and_flip(images, np.random.default_rng(seed), pad)
    theirs = crop_and_flip_one_by_one(images, np.random.default_rng(seed), pad)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(images, before)
    assert not np.shares_memory(ours, images)


def test_every_offset_and_both_directions_occur() -> None:
    marked = np.zeros((400, 8, 8, 3), dtype=np.uint8)
    marked[:, 3, 3] = 255
    crops = crop_and_flip(marked, np.random.default_rng(0), 1)
    places = {tuple(np.argwhere(crop[..., 0])[0].tolist()) for crop in crops}
    # Rows 3 + {-1, 0, 1}; columns likewise, or mirrored: 7 - (3 + {-1, 0, 1}).
    assert places == {(row, column) for row in (2, 3, 4) for column in (2, 3, 4, 5)}


def test_train_batch_is_raw_and_channels_last() -> None:
    inputs = ImageInputs(random_images(6, 16, 12, 3))
    batch = inputs.train_batch(np.array([4, 4, 1]), np.random.default_rng(0))
    assert batch.shape == (3, 3, 16, 12)
    assert batch.dtype == torch.uint8
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_without_augmentation_pictures_come_as_they_are_from_a_read_only_cache() -> None:
    images = random_images(5, 8, 8, 3)
    images.flags.writeable = False
    index = np.array([3, 0])
    for batch in (
        ImageInputs(images, augment=False).train_batch(index, np.random.default_rng(0)),
        ImageInputs(images).test_batch(index),
    ):
        np.testing.assert_array_equal(batch.permute(0, 2, 3, 1).numpy(), images[index])
    ImageInputs(images).train_batch(index, np.random.default_rng(0))


@pytest.mark.parametrize(("height", "pad"), [(32, 4), (8, 1), (64, 8), (4, 1)])
def test_padding_is_an_eighth(height: int, pad: int) -> None:
    assert ImageInputs(random_images(1, height, height, 3)).pad == pad


def test_channel_statistics_are_of_the_given_instances_alone() -> None:
    images = random_images(2500, 4, 4, 3)
    images[..., 2] = 7
    index = np.arange(0, 2500, 2)
    mean, std = ImageInputs(images).channel_statistics(index)
    pixels = images[index].reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(mean, pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(std, [*pixels.std(0)[:2], 1.0], rtol=1e-6)
    images[1::2] = 255
    again = ImageInputs(images).channel_statistics(index[::-1])
    assert torch.equal(again[0], mean)
    assert torch.equal(again[1], std)


def some_clips(lengths: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(1, 30_000, length).astype(np.int16) for length in lengths]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    half=st.integers(1, 12),
    views=st.integers(2, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_clips_are_cropped_as_if_padded_one_by_one(
    lengths: list[int], half: int, views: int, seed: int
) -> None:
    clips, width = some_clips(lengths), 2 * half
    inputs = ClipInputs(clips, width, views)
    index = np.random.default_rng(seed).integers(0, len(clips), 5)
    padded = [np.pad(clips[i], half) for i in index]

    batch = inputs.train_batch(index, np.random.default_rng(seed))
    starts = np.random.default_rng(seed).integers(0, [len(p) - width + 1 for p in padded])
    expected = [p[start : start + width] for p, start in zip(padded, starts, strict=True)]
    np.testing.assert_array_equal(batch.numpy(), expected)
    assert batch.dtype == torch.int16

    stride = [(len(p) - width) // (views - 1) for p in padded]
    expected = [
        p[view * step : view * step + width]
        for p, step in zip(padded, stride, strict=True)
        for view in range(views)
    ]
    np.testing.assert_array_equal(inputs.test_batch(index).numpy(), expected)


def test_a_single_view_is_the_middle_of_the_clip() -> None:
    clip = np.arange(1, 101, dtype=np.int16)
    view = ClipInputs([clip], 10).test_batch(np.array([0]), views=1)
    assert view.tolist() == [list(range(46, 56))]


def test_crops_reach_both_ends_of_a_clip() -> None:
    inputs = ClipInputs(some_clips([6, 3]), 4)
    batch = inputs.train_batch(np.zeros(300, dtype=np.int64), np.random.default_rng(0))
    assert len(np.unique(batch.numpy(), axis=0)) == 7


def test_an_odd_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        ClipInputs(some_clips([5]), 7)


@given(count=st.integers(2, 200), batch_size=st.integers(1, 70))
def test_batches_hold_everyone_once_and_never_one_alone(count: int, batch_size: int) -> None:
    order = np.random.default_rng(0).permutation(count)
    batches = list(split_batches(order, batch_size))
    np.testing.assert_array_equal(np.concatenate(batches), order)
    sizes = [len(batch) for batch in batches]
    full = max(2, batch_size)
    assert min(sizes) >= 2
    assert max(sizes) <= full + 1
    assert all(size == full for size in sizes[:-1])


def test_chunks_are_consecutive() -> None:
    assert [part.tolist() for part in chunks(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]


def test_fixed_views_are_the_picture_mirrored_and_shifted_to_four_sides() -> None:
    images = random_images(2, 6, 5, 3)
    views = fixed_views(images, 10, shift=1)
    assert views.shape == (2, 10, 6, 5, 3)
    np.testing.assert_array_equal(views[:, 0], images)
    np.testing.assert_array_equal(views[:, 1::2], views[:, ::2, :, ::-1])
    for view, (rows, columns) in ((2, (1, 0)), (4, (-1, 0)), (6, (0, 1)), (8, (0, -1))):
        expected = np.zeros_like(images)
        for y in range(6):
            for x in range(5):
                if 0 <= y - rows < 6 and 0 <= x - columns < 5:
                    expected[:, y, x] = images[:, y - rows, x - columns]
        np.testing.assert_array_equal(views[:, view], expected)


def test_views_of_a_picture_stand_side_by_side() -> None:
    images = random_images(3, 16, 16, 3)
    inputs, index = ImageInputs(images, views=3), np.array([2, 0])
    batch = inputs.test_batch(index).permute(0, 2, 3, 1).numpy()
    expected = fixed_views(images[index], 3, shift=1).reshape(-1, 16, 16, 3)
    np.testing.assert_array_equal(batch, expected)
    np.testing.assert_array_equal(
        inputs.test_batch(index, views=1).permute(0, 2, 3, 1).numpy(), images[index]
    )
