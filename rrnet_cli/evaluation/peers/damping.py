"""Damping of the peers that factorise: their biases' is chosen once, for all settings."""

from __future__ import annotations

from functools import lru_cache

from rrnet_cli.features.factors import Damping
from rrnet_cli.features.rating_baseline import choose
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.progress import SilentReporter
from rrnet_cli.settings import BaselineSettings


def damping_of(data: RatingData, factors: float) -> Damping:
    """Damping of factors, beside that of biases which is best on SELECT without any factors.

    Raises:
        InputError: No ratings to fit on, or none to choose on.
    """
    return Damping(*_of_biases(data), factors)


@lru_cache(maxsize=1)
def _of_biases(data: RatingData) -> tuple[float, float]:
    chosen = choose(BaselineSettings(backbone="rating-bias"), data, 0, SilentReporter()).facts
    return chosen["user_reg"], chosen["item_reg"]
