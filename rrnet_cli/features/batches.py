"""Batches cut from resident integer arrays: no worker processes, no Python loop over instances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from rrnet_cli.features.strong_augment import random_gain, stretched_crops

Index = NDArray[np.int64]


class Inputs(Protocol):
    """A resident data set that gives raw batches, random for training and fixed for use.

    Attributes:
        unit: What one instance is called on a progress bar.
        views: Fixed views of one instance, whose predictions are averaged.
    """

    @property
    def unit(self) -> str:
        """What one instance is called on a progress bar."""

    @property
    def views(self) -> int:
        """Fixed views of one instance."""

    def __len__(self) -> int: ...

    def train_batch(self, index: Index, rng: np.random.Generator) -> Tensor:
        """Random views, (len(index), ...), of the instances `index`."""

    def test_batch(self, index: Index, views: int | None = None) -> Tensor:
        """Fixed views, (len(index) * views, ...): all views of an instance are neighbours."""


def crop_and_flip(
    images: NDArray[np.uint8], rng: np.random.Generator, pad: int
) -> NDArray[np.uint8]:
    """Pad with black, crop back to size at a random place, mirror every second one by chance.

    Args:
        images: (n, height, width, 3) uint8.
        rng: Draws (n,) rows, then (n,) columns, then (n,) flips.
        pad: Pixels added on each side; the crop starts at 0 to 2 pad, inclusive.

    Returns:
        (n, height, width, 3) uint8, in memory of its own.
    """
    count, height, width, channels = images.shape
    padded = np.zeros((count, height + 2 * pad, width + 2 * pad, channels), dtype=np.uint8)
    padded[:, pad : pad + height, pad : pad + width] = images
    top = rng.integers(0, 2 * pad + 1, count)
    left = rng.integers(0, 2 * pad + 1, count)
    flip = rng.random(count) < 0.5
    # Windows over rows of bytes, so that numpy copies whole picture rows instead of pixels.
    rows = padded.reshape(count, height + 2 * pad, -1)
    window = (height, width * channels)
    windows = sliding_window_view(rows, window, axis=(1, 2))  # type: ignore[call-overload]
    cut: NDArray[np.uint8] = windows[np.arange(count), top, left * channels]
    crops = cut.reshape(images.shape)
    crops[flip] = crops[flip, :, ::-1]
    return crops


def fixed_views(images: NDArray[np.uint8], views: int, shift: int) -> NDArray[np.uint8]:
    """Up to ten views of each picture: itself, mirrored, and both shifted to the four sides.

    Args:
        images: (n, height, width, 3) uint8.
        views: How many, 1 to 10; the first is the picture itself.
        shift: Pixels; what comes in is black.

    Returns:
        (n, views, height, width, 3) uint8.
    """
    count, height, width, channels = images.shape
    padded = np.zeros((count, height + 2 * shift, width + 2 * shift, channels), dtype=np.uint8)
    padded[:, shift : shift + height, shift : shift + width] = images
    places = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
    result = np.empty((count, views, *images.shape[1:]), dtype=np.uint8)
    for view in range(views):
        top, left = (shift * steps for steps in places[view // 2])
        shifted = padded[:, top : top + height, left : left + width]
        result[:, view] = shifted[:, :, ::-1] if view % 2 else shifted
    return result


@dataclass(frozen=True)
class ImageInputs:
    """Pictures in a uint8 cache.

    Attributes:
        images: (num_instances, height, width, 3) uint8; may be read-only.
        augment: Random crop and flip in training (paper Sec. IV-B1); padding is an eighth of the
            height: the usual 4 at 32 x 32.
        views: Fixed views of one picture: as it is, mirrored, then both shifted by half the padding
            to each of four sides.
    """

    images: NDArray[np.uint8]
    augment: bool = True
    views: int = 1
    unit: ClassVar[str] = "img"

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pad(self) -> int:
        """Pixels of black around a picture before the random crop."""
        return max(1, self.images.shape[1] // 8)

    def train_batch(self, index: Index, rng: np.random.Generator) -> Tensor:
        """Cropped and flipped pictures, (len(index), 3, height, width) uint8, channels-last."""
        batch = self.images[index]
        if self.augment:
            batch = crop_and_flip(batch, rng, self.pad)
        return torch.from_numpy(batch).permute(0, 3, 1, 2)

    def test_batch(self, index: Index, views: int | None = None) -> Tensor:
        """The first views, (len(index) * views, 3, height, width) uint8, channels-last."""
        pictures, count = self.images[index], self.views if views is None else views
        if count > 1:
            seen = fixed_views(pictures, count, max(1, self.pad // 2))
            pictures = seen.reshape(-1, *pictures.shape[1:])
        return torch.from_numpy(pictures).permute(0, 3, 1, 2)

    def channel_statistics(self, index: Index) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel, (3,) float32 each, over some instances.

        Counted in integers, so the result does not depend on the order of the instances. A channel
        without any contrast gets the deviation 1.
        """
        counts = np.zeros((3, 256), dtype=np.int64)
        for part in np.array_split(index, max(1, len(index) // 1024)):
            pixels = self.images[part]
            for channel in range(3):
                counts[channel] += np.bincount(pixels[..., channel].ravel(), minlength=256)
        values = np.arange(256, dtype=np.float64)
        mean = counts @ values / counts[0].sum()
        variance = counts @ values**2 / counts[0].sum() - mean**2
        std = np.where(variance > 1e-6, np.sqrt(np.maximum(variance, 0)), 1.0)
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


INT16_SCALE = 1 / 32_768
"""What a 16-bit sample is multiplied by before a network hears it."""


def scaled(samples: Tensor) -> Tensor:
    """int16 samples to floats in [-1, 1); floats as they are."""
    return samples.float() * INT16_SCALE if samples.dtype == torch.int16 else samples


class ClipInputs:
    """Sound clips of any length in one int16 array, cropped to one width.

    Every clip is padded by half a crop of zeros on each side (Tokozume & Harada 2017); neighbours
    share that silence, so the cache is little larger than the clips.

    Args:
        clips: (num_samples,) int16 each, none empty.
        width: Samples in a crop; even.
        views: Evenly spaced crops a clip at test.
        strong: Strong augmentation of training crops: speed and loudness at random.
    """

    unit = "clip"

    def __init__(
        self,
        clips: Sequence[NDArray[np.int16]],
        width: int,
        views: int = 10,
        *,
        strong: bool = False,
    ) -> None:
        if width < 2 or width % 2:
            raise ValueError(f"the crop width must be even, not {width}")
        self.width = width
        self.views = views
        self.strong = strong
        self.lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
        half = width // 2
        # start[i]: where the padded clip i begins; the silence after it opens clip i + 1.
        self._starts = np.concatenate([[0], np.cumsum(self.lengths + half)[:-1]]).astype(np.int64)
        self._samples = np.zeros(int((self.lengths + half).sum()) + half, dtype=np.int16)
        for start, clip in zip(self._starts, clips, strict=True):
            self._samples[start + half : start + half + len(clip)] = clip

    def __len__(self) -> int:
        return len(self.lengths)

    def train_batch(self, index: Index, rng: np.random.Generator) -> Tensor:
        """One uniform random crop a clip, (len(index), width) int16; float32 where `strong`."""
        crops = self.crops(index, rng)
        return random_gain(crops, rng) if self.strong else crops

    def crops(self, index: Index, rng: np.random.Generator) -> Tensor:
        """The same before the random gain, which comes last where clips are mixed."""
        if not self.strong:
            return self._cut(self._starts[index] + rng.integers(0, self.lengths[index] + 1))
        first = self._starts[index] + self.width // 2
        stretched = stretched_crops(self._samples, first, self.lengths[index], self.width, rng)
        return torch.from_numpy(stretched) * INT16_SCALE

    def test_batch(self, index: Index, views: int | None = None) -> Tensor:
        """Evenly spaced crops, (len(index) * views, width) int16; a single one is central."""
        views = self.views if views is None else views
        length = self.lengths[index]
        if views == 1:
            offsets = (length // 2)[:, None]
        else:
            offsets = (length // (views - 1))[:, None] * np.arange(views)
        return self._cut((self._starts[index][:, None] + offsets).ravel())

    def _cut(self, starts: Index) -> Tensor:
        return torch.from_numpy(sliding_window_view(self._samples, self.width)[starts])


def split_batches(order: Index, batch_size: int) -> Iterator[Index]:
    """Cut an order of instances into batches; the last may be smaller, but never a single one.

    Batch normalisation cannot train on one instance: a lone last one joins the batch before it.

    Args:
        order: (n,) indices, two or more.
        batch_size: Instances a batch, at least 2 (1 counts as 2).

    Yields:
        (batch_size,) indices; the last is of 2 to batch_size + 1.
    """
    batch_size = max(2, batch_size)
    stops = list(range(batch_size, len(order), batch_size))
    if stops and len(order) - stops[-1] == 1:
        stops.pop()
    yield from np.split(order, stops)


def chunks(index: Index, size: int) -> Iterator[Index]:
    """Cut indices into consecutive parts of `size`; the last may be smaller."""
    for start in range(0, len(index), size):
        yield index[start : start + size]
