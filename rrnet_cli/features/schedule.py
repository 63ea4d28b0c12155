"""Learning rates of baselines over a training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rrnet_cli.settings import BaselineSettings


def learning_rate(settings: BaselineSettings, epoch: int, fraction: float = 0.0) -> float:
    """The rate at `fraction` (0 to 1) of the 0-based `epoch`.

    ``step`` is EnvNet's: x0.1 after 50 % and again after 75 % of the epochs. ``cosine`` falls to
    zero at the end, a little each step.
    """
    if settings.schedule == "step":
        return settings.lr * 0.1 ** sum(epoch >= part * settings.epochs for part in (0.5, 0.75))
    if settings.schedule == "cosine":
        return settings.lr * 0.5 * (1 + math.cos(math.pi * (epoch + fraction) / settings.epochs))
    return settings.lr
