"""M18 (Dai et al. 2017): 18 layers on raw samples at 8 kHz (paper Table I)."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from rrnet_cli.features.batches import scaled
from rrnet_cli.features.sound_net import ConvBlock, SoundNet, dense

STAGES = (64, 128, 256, 512)
"""Channels of the four stages of four convolutions of width 3."""


class M18(SoundNet):
    """One wide convolution, sixteen of width 3, global average pooling, one dense layer.

    "Very Deep Convolutional Neural Networks for Raw Waveforms", Table 1: [80/4, 64], pool,
    [3, 64] x 4, pool, [3, 128] x 4, pool, [3, 256] x 4, pool, [3, 512] x 4, global average. Every
    pool is a maximum over 4, batch norm and ReLU follow every convolution, there is no dropout.
    Borders are padded so that lengths fall by strides and pools alone.

    What is ours:

    - A crop is 4 s, the paper's input of 32,000 samples (whole UrbanSound8K clips there; ESC's have
      5 s, so crops move).
    - Samples are scaled by a constant: the first batch norm takes any scale of all data back.
    - Convolutions start He-normal and the dense layer LeCun-normal, as EnvNet's, and training is
      by EnvNet's SGD.
    - The representation is the global average. Where `feature_dim` is not its width of 512 a linear
      layer makes it so.

    Shapes:
        - **input:** (n, crop), int16 samples (scaled here) or floats (taken as they are).
        - **representation:** (n, feature_dim), not negative at 512; **logits:** (n, num_classes).

    Args:
        num_classes: Number of labels.
        feature_dim: Width of the representation.
    """

    sample_rate: ClassVar[int] = 8_000
    crop: ClassVar[int] = 32_000

    def __init__(self, num_classes: int, feature_dim: int = 512) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.num_classes = num_classes
        # 38 zeros on each side: a quarter of the length exactly.
        layers: list[nn.Module] = [ConvBlock(1, 64, (1, 80), stride=(1, 4), padding=(0, 38))]
        for channels_in, channels in pairwise((64, *STAGES)):
            # Ceil mode: a pool over the rest of an odd length is kept, 125 -> 32.
            layers.append(nn.MaxPool2d((1, 4), ceil_mode=True))
            for width in (channels_in, channels, channels, channels):
                layers.append(ConvBlock(width, channels, (1, 3), padding=(0, 1)))
        self.trunk = nn.Sequential(*layers)  # (n, 512, 1, 32)
        width = STAGES[-1]
        self.bottleneck = nn.Identity() if width == feature_dim else dense(width, feature_dim)
        self.classifier = dense(feature_dim, num_classes)

    def represent(self, inputs: Tensor) -> Tensor:
        """Representation (n, feature_dim) of crops (n, crop)."""
        output: Tensor = self.bottleneck(self.trunk(scaled(inputs)[:, None, None, :]).mean((2, 3)))
        return output

    def classify(self, representation: Tensor) -> Tensor:
        """Logits (n, num_classes)."""
        logits: Tensor = self.classifier(representation)
        return logits
