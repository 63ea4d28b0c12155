"""Strong augmentation of sounds (Tokozume, Ushiku & Harada 2018): random speed and loudness."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_STRETCH = 1.25
"""A clip gets 1 / 1.25 to 1.25 times as long."""

MAX_GAIN = 6.0
"""In decibels, up or down."""


def stretched_crops(
    samples: NDArray[np.int16],
    first: NDArray[np.int64],
    lengths: NDArray[np.int64],
    width: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """One uniform random crop of each clip, stretched by 1.25^U(-1, 1) and then padded by silence.

    The stretched clip is the linear interpolation of the clip and has half a crop of zeros on each
    side. Only the samples of the crop are computed.

    Args:
        samples: (num_samples,) int16, the clips one after the other.
        first: (n,) where each clip begins in it.
        lengths: (n,) samples of each clip, at least 1.
        width: Samples in a crop; even.
        rng: Draws (n,) exponents, then (n,) places.

    Returns:
        (n, width) float32, in units of `samples`.
    """
    stretch = MAX_STRETCH ** rng.uniform(-1, 1, len(first))
    stretched = np.maximum((lengths * stretch).astype(np.int64), 1)
    start = rng.integers(0, stretched + 1)
    # Place of every sample of the crop in the stretched clip, then in the clip itself.
    place = start[:, None] + np.arange(width) - width // 2
    inside = (place >= 0) & (place < stretched[:, None])
    source = np.where(inside, place / stretch[:, None], 0.0)
    left = source.astype(np.int64)
    right = np.minimum(left + 1, lengths[:, None] - 1)
    weight = (source - left).astype(np.float32)
    low = samples[first[:, None] + left].astype(np.float32)
    high = samples[first[:, None] + right].astype(np.float32)
    crops: NDArray[np.float32] = np.where(inside, low + weight * (high - low), np.float32(0))
    return crops


def random_gain(crops: Tensor, rng: np.random.Generator) -> Tensor:
    """Make each crop (n, width) louder or softer by U(-6, 6) dB of its own."""
    factor = 10 ** (rng.uniform(-MAX_GAIN, MAX_GAIN, len(crops)) / 20)
    return crops * torch.from_numpy(factor.astype(np.float32))[:, None]
