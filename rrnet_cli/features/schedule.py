"""Learning rates of baselines over a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rrnet_cli.settings import BaselineSettings

WARM_UP = 10
"""Epochs at a tenth of the rate under ``warmup``."""


def learning_rate(settings: BaselineSettings, epoch: int, fraction: float = 0.0) -> float:
    """The rate at `fraction` (0 to 1) of the 0-based `epoch`.

    ``step`` is EnvNet's: x0.1 after 50 % and again after 75 % of the epochs. ``warmup`` is that of
    EnvNet-v2 on ESC-50: x0.1 after 30, 60 and 90 %, and a tenth in the first 10 epochs, however
    many follow. ``cosine`` falls to zero at the end, a little each step.
    """
    if settings.schedule == "step":
        return settings.lr * 0.1 ** sum(epoch >= part * settings.epochs for part in (0.5, 0.75))
    if settings.schedule == "warmup":
        falls = sum(epoch >= part * settings.epochs for part in (0.3, 0.6, 0.9))
        return settings.lr * 0.1 ** max(falls, epoch < WARM_UP)
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1 + math.cos(math.pi * (epoch + fraction) / settings.epochs))
    return settings.lr
