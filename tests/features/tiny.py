"""A network and data small enough to train in a test; as a script, a training to be killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rrnet_cli.datasets.base import FIT, SELECT, TEST
from rrnet_cli.features.batches import ImageInputs
from rrnet_cli.features.classifier import TrainedClassifier, train_classifier
from rrnet_cli.features.network import BaselineNet
from rrnet_cli.settings import BaselineSettings

NUM_CLASSES = 3


class TinyNet(BaselineNet):
    """Everything that has a state of its own: convolution, batch norm, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_dim, self.num_classes = 8, NUM_CLASSES
        self.conv = nn.Conv2d(3, 8, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(8, NUM_CLASSES)

    def represent(self, inputs: Tensor) -> Tensor:
        pixels = inputs.float() / 255 - 0.5
        return self.norm(self.conv(pixels)).relu().mean((2, 3))

    def classify(self, representation: Tensor) -> Tensor:
        return self.classifier(self.dropout(representation))


def tiny_net(seed: int = 0) -> TinyNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyNet()


def tiny_images(num_images: int = 61, seed: int = 0) -> tuple[ImageInputs, Any, Any]:
    """Pictures whose brightest channel is their label; every fifth is SELECT, every sixth TEST."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, NUM_CLASSES, num_images)
    images = rng.integers(0, 100, (num_images, 8, 8, 3), dtype=np.uint8)
    images[np.arange(num_images), :, :, labels] += 100
    roles = np.full(num_images, FIT, dtype=np.int8)
    roles[::5], roles[::6] = SELECT, TEST
    return ImageInputs(images), labels, roles


def tiny_settings(**changes: Any) -> BaselineSettings:
    wanted = {"backbone": "resnet18", "epochs": 4, "batch_size": 8, "lr": 0.1, "schedule": "cosine"}
    return BaselineSettings(**wanted | {"precision": "float32"} | changes)


class Recorder:
    """A reporter that counts, and calls back at each step."""

    def __init__(self, on_step: Callable[[int], None] = lambda step: None) -> None:
        self.on_step = on_step
        self.total = self.done = self.steps = 0
        self.status: list[str] = []

    @contextmanager
    def task(
        self, description: str, total: int | None, unit: str = "it", done: int = 0
    ) -> Iterator[Recorder]:
        self.total, self.done = total or 0, done
        yield self

    def advance(self, steps: int = 1, status: str = "") -> None:
        self.done += steps
        self.steps += 1
        self.status.append(status)
        self.on_step(self.steps)

    def note(self, message: str) -> None: ...


def train_tiny(
    workspace: Path | None = None, reporter: Recorder | None = None, **changes: Any
) -> TrainedClassifier:
    seed = changes.pop("seed", 0)
    resume = changes.pop("resume", True)
    return train_classifier(
        tiny_net(), *tiny_images(), tiny_settings(**changes), seed,
        workspace=workspace, resume=resume, reporter=reporter, device="cpu",
    )  # fmt: skip


if __name__ == "__main__":
    # Slow, so that a kill hits the middle of it.
    train_tiny(Path(sys.argv[1]), Recorder(lambda step: time.sleep(0.01)), epochs=int(sys.argv[2]))
