"""What the sound classifiers on raw samples share: input, convolution block, dense layers."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn

from rrnet_cli.features.batches import scaled
from rrnet_cli.features.network import BaselineNet


class SoundNet(BaselineNet):
    """A classifier of crops of one width, at one sample rate.

    Attributes:
        sample_rate: In Hz, that its clips are read at.
        crop: Samples in a crop; even.
    """

    sample_rate: ClassVar[int]
    crop: ClassVar[int]


class SpectrogramNet(SoundNet):
    """EnvNet's plan: convolutions on samples, on the spectrogram they learn, two dense layers.

    The second dense layer is `feature_dim` wide and is the representation. That of EnvNet and of
    EnvNet-v2 is 4,096, and RR-Net speaks of 512 dimensions without saying of which layer: this
    width is our choice.

    Shapes:
        - **input:** (n, crop), int16 samples (scaled here) or floats (taken as they are).
        - **representation:** (n, feature_dim), not negative; **logits:** (n, num_classes).

    Args:
        samples: (n, 1, 1, crop) to (n, bands, 1, time).
        spectrogram: (n, 1, bands, time) to a picture of `flat` values.
        flat: Width of that, flattened.
        num_classes: Number of labels.
        feature_dim: Width of the representation.
        hidden: Width of the first dense layer.
    """

    def __init__(
        self,
        samples: nn.Sequential,
        spectrogram: nn.Sequential,
        flat: int,
        num_classes: int,
        feature_dim: int,
        hidden: int,
    ) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.num_classes = num_classes
        self.samples = samples
        self.spectrogram = spectrogram
        self.dense = nn.Sequential(
            nn.Flatten(),
            dense(flat, hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
            dense(hidden, feature_dim),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.5)
        self.classifier = dense(feature_dim, num_classes)

    def represent(self, inputs: Tensor) -> Tensor:
        """Representation (n, feature_dim) of crops (n, crop)."""
        bands: Tensor = self.samples(scaled(inputs)[:, None, None, :])
        # Channels become the frequencies of a picture: (n, bands, 1, time) -> (n, 1, bands, time).
        output: Tensor = self.dense(self.spectrogram(bands.transpose(1, 2)))
        return output

    def classify(self, representation: Tensor) -> Tensor:
        """Logits (n, num_classes)."""
        logits: Tensor = self.classifier(self.dropout(representation))
        return logits


class ConvBlock(nn.Sequential):
    """Convolution without bias (He-normal), batch norm as Chainer's defaults, ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
        norm = nn.BatchNorm2d(channels_out, eps=2e-5, momentum=0.1)
        super().__init__(conv, norm, nn.ReLU(inplace=True))


def dense(width_in: int, width_out: int) -> nn.Linear:
    """A dense layer with Chainer's defaults: LeCun-normal weights, zero bias."""
    layer = nn.Linear(width_in, width_out)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(width_in))
    nn.init.zeros_(layer.bias)
    return layer
