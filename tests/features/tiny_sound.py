"""A network of sounds and clips small enough to train in a test."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from rrnet_cli.datasets.base import FIT, SELECT, TEST
from rrnet_cli.features.batches import ClipInputs, scaled
from rrnet_cli.features.sound_net import SoundNet

NUM_CLASSES = 3


class TinySound(SoundNet):
    """Everything that has a state of its own: convolution, batch norm, dropout."""

    sample_rate: ClassVar[int] = 8_000
    crop: ClassVar[int] = 1_024

    def __init__(self) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = 8, NUM_CLASSES
        self.conv = nn.Conv2d(1, 8, (1, 16), stride=(1, 4), bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(8, NUM_CLASSES)

    def represent(self, inputs: Tensor) -> Tensor:
        return self.norm(self.conv(scaled(inputs)[:, None, None, :])).relu().mean((2, 3))

    def classify(self, representation: Tensor) -> Tensor:
        return self.classifier(self.dropout(representation))


def tiny_sound(seed: int = 0) -> TinySound:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinySound()


def tiny_clips(num_clips: int = 31, *, strong: bool = False) -> tuple[ClipInputs, Any, Any]:
    """Tones whose pitch is their label; every fifth is SELECT, every sixth TEST."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, NUM_CLASSES, num_clips)
    clips = []
    for label in labels:
        time = np.arange(rng.integers(300, 3000))
        wave = np.sin(2 * np.pi * (200, 700, 2000)[label] * time / 8_000 + rng.uniform(0, 6))
        clips.append((8_000 * rng.uniform(0.1, 1) * wave + 1).astype(np.int16))
    roles = np.full(num_clips, FIT, dtype=np.int8)
    roles[::5], roles[::6] = SELECT, TEST
    return ClipInputs(clips, TinySound.crop, 3, strong=strong), labels, roles
