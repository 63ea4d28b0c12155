"""EnvNet (Tokozume & Harada 2017): a sound classifier on raw samples (paper Sec. IV-A2)."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from rrnet_cli.features.sound_net import ConvBlock, SpectrogramNet

CROP = 24_014
"""Samples in a crop: 1.5 s at 16 kHz, the width at which every pooling divides exactly."""


class EnvNet(SpectrogramNet):
    """Two convolutions on samples, two on the learned spectrogram, two dense layers.

    Shapes, arguments and the width of the representation are those of `SpectrogramNet`.
    """

    sample_rate: ClassVar[int] = 16_000
    crop: ClassVar[int] = CROP

    def __init__(self, num_classes: int, feature_dim: int = 512, hidden: int = 4096) -> None:
        samples = nn.Sequential(
            ConvBlock(1, 40, (1, 8)),  # (n, 40, 1, 24007)
            ConvBlock(40, 40, (1, 8)),  # (n, 40, 1, 24000)
            nn.MaxPool2d((1, 160)),  # (n, 40, 1, 150)
        )
        spectrogram = nn.Sequential(
            ConvBlock(1, 50, (8, 13)),  # (n, 50, 33, 138)
            nn.MaxPool2d(3),  # (n, 50, 11, 46)
            ConvBlock(50, 50, (1, 5)),  # (n, 50, 11, 42)
            nn.MaxPool2d((1, 3)),  # (n, 50, 11, 14)
        )
        super().__init__(samples, spectrogram, 50 * 11 * 14, num_classes, feature_dim, hidden)
