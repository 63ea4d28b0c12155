"""Damping of the peers that factorise: their biases' is chosen once, for all settings."""

from __future__ import annotations

from functools import lru_cache

from rrnet_cli.features.factors import Damping
from rrnet_cli.features.rating_bias import RatingTable, choose_bias
from rrnet_cli.features.rating_data import RatingData


def damping_of(data: RatingData, factors: float) -> Damping:
    """Damping of factors, beside that of biases which is best on SELECT without any factors.

    Raises:
        InputError: No ratings to fit on, or none to choose on.
    """
    return Damping(*_of_biases(data), factors)


@lru_cache(maxsize=1)
def _of_biases(data: RatingData) -> tuple[float, float]:
    bias = choose_bias(
        RatingTable(data.user, data.item, data.rating),
        RatingTable(data.select_user, data.select_item, data.select_rating),
        data.num_users,
        data.num_items,
        scale=data.scale,
    )
    return bias.user_reg, bias.item_reg
