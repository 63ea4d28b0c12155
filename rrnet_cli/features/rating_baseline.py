"""The baselines of ratings behind one door: choose one's settings once, fit it again at will."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rrnet_cli.features.factors import Damping, RatingFactors
from rrnet_cli.features.rating_bias import RatingBias, RatingTable, choose_bias, fit_bias
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.features.rating_factors import choose_rating_factors, fit_rating_factors
from rrnet_cli.progress import Reporter

if TYPE_CHECKING:
    from rrnet_cli.settings import BaselineSettings


@dataclass(frozen=True)
class RatingBaseline:
    """A fitted baseline.

    Attributes:
        model: Gives the clipped rating of any pair.
        facts: What `refit` needs to fit the same method on other ratings.
    """

    model: RatingBias | RatingFactors
    facts: Mapping[str, float]


def choose(
    settings: BaselineSettings, data: RatingData, seed: int, reporter: Reporter
) -> RatingBaseline:
    """Fit the backbone of `settings`; what they leave open is chosen on the select ratings.

    Raises:
        InputError: No ratings to fit on, or none to choose on where a choice is left.
    """
    bias = choose_bias(
        RatingTable(data.user, data.item, data.rating),
        RatingTable(data.select_user, data.select_item, data.select_rating),
        data.num_users,
        data.num_items,
        scale=data.scale,
        user_reg=settings.user_reg,
        item_reg=settings.item_reg,
        reporter=reporter,
    )
    facts = {"user_reg": bias.user_reg, "item_reg": bias.item_reg}
    if settings.backbone != "rating-factors":
        return RatingBaseline(bias, facts)
    factors, damping = choose_rating_factors(
        data, bias.user_reg, bias.item_reg, settings.factor_reg, seed, reporter
    )
    facts |= {"factor_reg": damping.factors, "steps": factors.steps, "seed": seed}
    return RatingBaseline(factors, facts)


def refit(facts: Mapping[str, float], data: RatingData) -> RatingBias | RatingFactors:
    """Fit on other ratings what `choose` settled; the select ratings are not read.

    Args:
        facts: Those of a `RatingBaseline`; more keys do not matter.
        data: With one or more ratings to fit on.
    """
    if "factor_reg" in facts:
        damping = Damping(facts["user_reg"], facts["item_reg"], facts["factor_reg"])
        return fit_rating_factors(data, damping, int(facts["steps"]), int(facts["seed"]))
    return fit_bias(
        RatingTable(data.user, data.item, data.rating),
        data.num_users,
        data.num_items,
        scale=data.scale,
        user_reg=facts["user_reg"],
        item_reg=facts["item_reg"],
    )
