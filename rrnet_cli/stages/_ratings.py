"""Stage `extract` for ratings: uniform attributes and the baseline's prior (Sec. IV-C)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from rrnet_cli.datasets.base import FIT, HOLD, ROLE_NAMES, SELECT, RatingSet, count_roles
from rrnet_cli.datasets.parts import fit_parts
from rrnet_cli.features.cross_fit import out_of_fold
from rrnet_cli.features.factors import RatingFactors
from rrnet_cli.features.rating_baseline import RatingBaseline, choose, refit
from rrnet_cli.features.rating_bias import RatingBias, prediction_errors
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.features.uniform import uniform_attributes
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import ExtractSettings
from rrnet_cli.stages._baseline import part_column, prior_facts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rrnet_cli.store.draft import Draft


def write(draft: Draft, ratings: RatingSet, settings: ExtractSettings, reporter: Reporter) -> None:
    """Fit the baseline on the FIT ratings and write the whole artifact.

    Args:
        draft: Where to write.
        ratings: All ratings; the baseline reads the values of FIT and SELECT only.
        settings: Of the stage.
        reporter: Progress and notes.
    """
    num_users, num_items = len(ratings.user_ids), len(ratings.item_ids)
    baseline = choose(settings.baseline, data_of(ratings), settings.seed, reporter)
    model = baseline.model
    parts, prior = _prior(baseline, ratings, settings)
    dim = settings.baseline.embedding_dim
    draft.write_tensors(
        "features.safetensors",
        {
            "user": uniform_attributes(num_users, dim, seed=settings.seed, stream=0),
            "item": uniform_attributes(num_items, dim, seed=settings.seed, stream=1),
        },
    )
    _write_tables(draft, ratings, model, prior, parts)
    draft.write_tensors("baseline.safetensors", _tensors(model))
    draft.summary.update(
        {
            "task": "rating",
            "left": "user",
            "right": "item",
            "scale": [float(bound) for bound in ratings.scale],
            "users": num_users,
            "items": num_items,
            "ratings": count_roles(ratings.roles),
            **prior_facts(parts),
            "links": int(ratings.links.shape[1]),
            "dims": {"user": dim, "item": dim},
            "baseline": {**baseline.facts, **_scores(model, prior, parts, ratings)},
            "skipped": 0,
        }
    )


def _tensors(model: RatingBias | RatingFactors) -> dict[str, NDArray[np.float64]]:
    """What the baseline was fitted to."""
    tensors = {
        "mu": np.array([model.mean]),
        "user_bias": model.user_bias,
        "item_bias": model.item_bias,
    }
    if isinstance(model, RatingFactors):
        tensors |= {"user_factors": model.left, "item_factors": model.right}
    return tensors


def _prior(
    baseline: RatingBaseline, ratings: RatingSet, settings: ExtractSettings
) -> tuple[NDArray[np.int64] | None, NDArray[np.float32]]:
    """The parts of cross-fitting, if it is asked for, and the predicted ratings to be given on."""
    prior = baseline.model.predict(ratings.user, ratings.item).astype(np.float32)
    if settings.cross_fit is None:
        return None, prior
    parts = fit_parts(ratings.roles, settings.cross_fit, settings.data.split_seed)

    def without(
        _part: int, roles: NDArray[np.int8], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        other = refit(baseline.facts, data_of(replace(ratings, roles=roles)))
        return other.predict(ratings.user[rows], ratings.item[rows]).astype(np.float32)

    return parts, out_of_fold(prior, ratings.roles, parts, without)


def _scores(
    model: RatingBias | RatingFactors,
    prior: NDArray[np.float32],
    parts: NDArray[np.int64] | None,
    ratings: RatingSet,
) -> dict[str, float]:
    """Errors of the one model and, of cross-fitting, those of the others on FIT."""
    roles = (FIT, HOLD, SELECT) if (ratings.roles == HOLD).any() else (FIT, SELECT)
    predicted = model.predict(ratings.user, ratings.item)
    scored = {
        ROLE_NAMES[role]: prediction_errors(
            predicted[ratings.roles == role], ratings.rating[ratings.roles == role]
        )
        for role in roles
    }
    if parts is not None:
        fit = ratings.roles == FIT
        scored["oof"] = prediction_errors(prior[fit], ratings.rating[fit])
    return {
        f"{name}_{measure}": value
        for name, both in scored.items()
        for measure, value in zip(("mae", "rmse"), both, strict=True)
    }


def data_of(ratings: RatingSet) -> RatingData:
    """What a baseline may read: FIT and SELECT ratings."""
    fit, select = (ratings.roles == role for role in (FIT, SELECT))
    return RatingData(
        num_users=len(ratings.user_ids),
        num_items=len(ratings.item_ids),
        scale=ratings.scale,
        user=ratings.user[fit],
        item=ratings.item[fit],
        rating=ratings.rating[fit],
        select_user=ratings.user[select],
        select_item=ratings.item[select],
        select_rating=ratings.rating[select],
        links=ratings.links,
    )


def _write_tables(
    draft: Draft,
    ratings: RatingSet,
    model: RatingBias | RatingFactors,
    prior: NDArray[np.float32],
    parts: NDArray[np.int64] | None,
) -> None:
    draft.write_table(
        "ratings.parquet",
        pa.table(
            {
                "user": pa.array(ratings.user, pa.int64()),
                "item": pa.array(ratings.item, pa.int64()),
                "rating": pa.array(ratings.rating, pa.float32()),
                "prior": pa.array(prior, pa.float32()),
                "role": pa.array(np.array(ROLE_NAMES)[ratings.roles], pa.string()),
                **part_column(parts),
            }
        ),
    )
    for name, ids, bias in (
        ("users", ratings.user_ids, model.user_bias),
        ("items", ratings.item_ids, model.item_bias),
    ):
        draft.write_table(
            f"{name}.parquet",
            pa.table(
                {
                    "id": pa.array(ids, pa.string()),
                    "bias": pa.array(bias.astype(np.float32), pa.float32()),
                }
            ),
        )
    truster, trustee = ratings.links
    draft.write_table(
        "links.parquet",
        pa.table({"src": pa.array(truster, pa.int64()), "dst": pa.array(trustee, pa.int64())}),
    )
