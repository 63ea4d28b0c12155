"""EnvNet (Tokozume & Harada 2017): a sound classifier on raw samples (paper Sec. IV-A2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rrnet_cli.features.network import BaselineNet

CROP = 24_014
"""Samples in a crop: 1.5 s at 16 kHz, the width at which every pooling divides exactly."""

SAMPLE_RATE = 16_000
_FLAT = 50 * 11 * 14
_INT16_SCALE = 1 / 32_768


class EnvNet(BaselineNet):
    """Two convolutions on samples, two on the learned spectrogram, two dense layers.

    The second dense layer is `feature_dim` wide and is the representation. EnvNet's own is 4,096
    and RR-Net speaks of 512 dimensions without saying of which layer: this width is our choice.

    Shapes:
        - **input:** (n, 24014), int16 samples (scaled here) or floats (taken as they are).
        - **representation:** (n, feature_dim), not negative; **logits:** (n, num_classes).

    Args:
        num_classes: Number of labels.
        feature_dim: Width of the representation.
        hidden: Width of the first dense layer.
    """

    def __init__(self, num_classes: int, feature_dim: int = 512, hidden: int = 4096) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.num_classes = num_classes
        self.samples = nn.Sequential(
            _ConvBlock(1, 40, (1, 8)),  # (n, 40, 1, 24007)
            _ConvBlock(40, 40, (1, 8)),  # (n, 40, 1, 24000)
            nn.MaxPool2d((1, 160)),  # (n, 40, 1, 150)
        )
        self.spectrogram = nn.Sequential(
            _ConvBlock(1, 50, (8, 13)),  # (n, 50, 33, 138)
            nn.MaxPool2d(3),  # (n, 50, 11, 46)
            _ConvBlock(50, 50, (1, 5)),  # (n, 50, 11, 42)
            nn.MaxPool2d((1, 3)),  # (n, 50, 11, 14)
        )
        self.dense = nn.Sequential(
            nn.Flatten(),
            _dense(_FLAT, hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
            _dense(hidden, feature_dim),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.5)
        self.classifier = _dense(feature_dim, num_classes)

    def represent(self, inputs: Tensor) -> Tensor:
        """Representation (n, feature_dim) of crops (n, 24014)."""
        samples = inputs.float() * _INT16_SCALE if inputs.dtype == torch.int16 else inputs
        bands: Tensor = self.samples(samples[:, None, None, :])
        # Channels become the frequencies of a picture: (n, 40, 1, 150) -> (n, 1, 40, 150).
        output: Tensor = self.dense(self.spectrogram(bands.transpose(1, 2)))
        return output

    def classify(self, representation: Tensor) -> Tensor:
        """Logits (n, num_classes)."""
        logits: Tensor = self.classifier(self.dropout(representation))
        return logits


class _ConvBlock(nn.Sequential):
    """Convolution without bias (He-normal), batch norm as Chainer's defaults, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: tuple[int, int]) -> None:
        conv = nn.Conv2d(channels_in, channels_out, kernel, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
        norm = nn.BatchNorm2d(channels_out, eps=2e-5, momentum=0.1)
        super().__init__(conv, norm, nn.ReLU(inplace=True))


def _dense(width_in: int, width_out: int) -> nn.Linear:
    """A dense layer with Chainer's defaults: LeCun-normal weights, zero bias."""
    layer = nn.Linear(width_in, width_out)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(width_in))
    nn.init.zeros_(layer.bias)
    return layer
