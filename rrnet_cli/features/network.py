"""What every baseline network offers: a representation, and labels from it (paper Sec. IV)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class BaselineNet(nn.Module, ABC):
    """A classifier cut at its representation.

    The input is the raw data as the resident cache holds it (uint8 pixels, int16 samples); scaling
    is part of the network, so its weights are all that a later prediction needs.

    Attributes:
        feature_dim: Width of the representation.
        num_classes: Number of labels.
    """

    feature_dim: int
    num_classes: int

    @abstractmethod
    def represent(self, inputs: Tensor) -> Tensor:
        """Map a batch of raw inputs to (n, feature_dim)."""

    @abstractmethod
    def classify(self, representation: Tensor) -> Tensor:
        """Map (n, feature_dim) to logits (n, num_classes)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, num_classes) of a batch of raw inputs."""
        return self.classify(self.represent(inputs))
