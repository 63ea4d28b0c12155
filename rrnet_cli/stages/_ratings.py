"""Stage `extract` for ratings: uniform attributes and the bias model's prior (Sec. IV-C)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from rrnet_cli.datasets.base import FIT, ROLE_NAMES, SELECT, RatingSet
from rrnet_cli.features.rating_bias import RatingBias, RatingTable, choose_bias, errors
from rrnet_cli.features.uniform import uniform_attributes
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import ExtractSettings

if TYPE_CHECKING:
    from rrnet_cli.store.draft import Draft


def write(draft: Draft, ratings: RatingSet, settings: ExtractSettings, reporter: Reporter) -> None:
    """Fit the baseline on the FIT ratings and write the whole artifact.

    Args:
        draft: Where to write.
        ratings: All ratings; the bias model reads the values of FIT and SELECT only.
        settings: Of the stage.
        reporter: Progress and notes.
    """
    num_users, num_items = len(ratings.user_ids), len(ratings.item_ids)
    fit, select = table_of(ratings, FIT), table_of(ratings, SELECT)
    model = choose_bias(
        fit,
        select,
        num_users,
        num_items,
        scale=ratings.scale,
        user_reg=settings.baseline.user_reg,
        item_reg=settings.baseline.item_reg,
        reporter=reporter,
    )
    dim = settings.baseline.embedding_dim
    draft.write_tensors(
        "features.safetensors",
        {
            "user": uniform_attributes(num_users, dim, seed=settings.seed, stream=0),
            "item": uniform_attributes(num_items, dim, seed=settings.seed, stream=1),
        },
    )
    _write_tables(draft, ratings, model)
    draft.write_tensors(
        "baseline.safetensors",
        {
            "mu": np.array([model.mean]),
            "user_bias": model.user_bias,
            "item_bias": model.item_bias,
        },
    )
    fit_mae, fit_rmse = errors(model, fit)
    select_mae, select_rmse = errors(model, select)
    draft.summary.update(
        {
            "task": "rating",
            "left": "user",
            "right": "item",
            "scale": [float(bound) for bound in ratings.scale],
            "users": num_users,
            "items": num_items,
            "ratings": {
                role: int((ratings.roles == code).sum()) for code, role in enumerate(ROLE_NAMES)
            },
            "links": int(ratings.links.shape[1]),
            "dims": {"user": dim, "item": dim},
            "baseline": {
                "user_reg": model.user_reg,
                "item_reg": model.item_reg,
                "fit_mae": fit_mae,
                "fit_rmse": fit_rmse,
                "select_mae": select_mae,
                "select_rmse": select_rmse,
            },
            "skipped": 0,
        }
    )


def table_of(ratings: RatingSet, role: int) -> RatingTable:
    """The ratings of one role."""
    rows = ratings.roles == role
    return RatingTable(ratings.user[rows], ratings.item[rows], ratings.rating[rows])


def _write_tables(draft: Draft, ratings: RatingSet, model: RatingBias) -> None:
    prior = model.predict(ratings.user, ratings.item)
    draft.write_table(
        "ratings.parquet",
        pa.table(
            {
                "user": pa.array(ratings.user, pa.int64()),
                "item": pa.array(ratings.item, pa.int64()),
                "rating": pa.array(ratings.rating, pa.float32()),
                "prior": pa.array(prior.astype(np.float32), pa.float32()),
                "role": pa.array(np.array(ROLE_NAMES)[ratings.roles], pa.string()),
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
