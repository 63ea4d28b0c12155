"""EnvNet-v2 (Tokozume, Ushiku & Harada 2018): EnvNet, deeper and at 44.1 kHz (paper Table I)."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from rrnet_cli.features.sound_net import ConvBlock, SpectrogramNet


class EnvNetV2(SpectrogramNet):
    """Two convolutions on samples, eight on the learned spectrogram, two dense layers.

    Shapes, arguments and the width of the representation are those of `SpectrogramNet`. A crop is
    1.5 s at 44.1 kHz.
    """

    sample_rate: ClassVar[int] = 44_100
    crop: ClassVar[int] = 66_650

    def __init__(self, num_classes: int, feature_dim: int = 512, hidden: int = 4096) -> None:
        samples = nn.Sequential(
            ConvBlock(1, 32, (1, 64), stride=(1, 2)),  # (n, 32, 1, 33294)
            ConvBlock(32, 64, (1, 16), stride=(1, 2)),  # (n, 64, 1, 16640)
            nn.MaxPool2d((1, 64)),  # (n, 64, 1, 260)
        )
        spectrogram = nn.Sequential(
            ConvBlock(1, 32, (8, 8)),  # (n, 32, 57, 253)
            ConvBlock(32, 32, (8, 8)),  # (n, 32, 50, 246)
            nn.MaxPool2d((5, 3)),  # (n, 32, 10, 82)
            ConvBlock(32, 64, (1, 4)),  # (n, 64, 10, 79)
            ConvBlock(64, 64, (1, 4)),  # (n, 64, 10, 76)
            nn.MaxPool2d((1, 2)),  # (n, 64, 10, 38)
            ConvBlock(64, 128, (1, 2)),  # (n, 128, 10, 37)
            ConvBlock(128, 128, (1, 2)),  # (n, 128, 10, 36)
            nn.MaxPool2d((1, 2)),  # (n, 128, 10, 18)
            ConvBlock(128, 256, (1, 2)),  # (n, 256, 10, 17)
            ConvBlock(256, 256, (1, 2)),  # (n, 256, 10, 16)
            nn.MaxPool2d((1, 2)),  # (n, 256, 10, 8)
        )
        super().__init__(samples, spectrogram, 256 * 10 * 8, num_classes, feature_dim, hidden)
