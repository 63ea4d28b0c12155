"""User and item biases: Koren 2009, and this toolkit's own prior of ratings."""

from __future__ import annotations

from collections.abc import Mapping

from rrnet_cli.evaluation.peers.base import Peer, Predict
from rrnet_cli.features.rating_baseline import refit
from rrnet_cli.features.rating_bias import GRID
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.progress import Reporter


def fit(data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter) -> Predict:
    """Mu + b_u + b_i, eq. (3); the biases minimise eq. (5) without its factors.

    There one damping serves users and items, once a rating; here each has its own, once a bias
    (`features.rating_bias`). Closed forms, no random number.
    """
    return refit(params, data).predict


PEER = Peer(
    name="bias",
    task="rating",
    reference="Koren, Bell & Volinsky 2009, eq. (3): mu + b_u + b_i",
    grid={"user_reg": GRID, "item_reg": GRID},
    fit=fit,
)
