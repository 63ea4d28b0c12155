"""SVD and SVD++ of the Surprise library, read off as arrays to predict many pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rrnet_cli.errors import ResourceError
from rrnet_cli.evaluation.peers.base import Peer, Predict
from rrnet_cli.features.rating_data import FloatArray, IntArray, RatingData
from rrnet_cli.progress import Reporter


def fit_svd(
    data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter
) -> Predict:
    """Mu + b_u + b_i + q_i · p_u, by stochastic gradient descent.

    Koren, Bell & Volinsky 2009, eqs. (4) and (5).
    """
    surprise = _library()
    model = surprise.SVD(**_settings(params), random_state=seed)
    model.fit(_trainset(surprise, data))
    return _predictor(model, model.pu, data)


def fit_svdpp(
    data: RatingData, params: Mapping[str, float], seed: int, reporter: Reporter
) -> Predict:
    """Mu + b_u + b_i + q_i · (p_u + |I_u|^-1/2 Σ_{j in I_u} y_j): implicit feedback too.

    Koren 2008, eq. (15); its N(u) is the rated items.
    """
    surprise = _library()
    model = surprise.SVDpp(**_settings(params), random_state=seed, cache_ratings=True)
    model.fit(_trainset(surprise, data))
    implicit = np.zeros_like(model.pu)
    np.add.at(implicit, data.user, model.yj[data.item])
    rated = np.bincount(data.user, minlength=data.num_users)
    own = model.pu + implicit / np.sqrt(np.maximum(rated, 1))[:, None]
    return _predictor(model, own, data)


def _library() -> Any:
    try:
        import surprise
    except ImportError as error:
        raise ResourceError(
            "the peers svd and svdpp need the library scikit-surprise",
            "pip install 'rrnet[peers]', or leave them out with --only",
        ) from error
    return surprise


def _settings(params: Mapping[str, float]) -> dict[str, Any]:
    return {
        "n_factors": int(params["factors"]),
        "n_epochs": int(params["epochs"]),
        "lr_all": params["lr"],
        "reg_all": params["reg"],
    }


def _trainset(surprise: Any, data: RatingData) -> Any:
    """All users and items, rated or not, under their own numbers."""
    by_user: dict[int, list[tuple[int, float]]] = defaultdict(list)
    by_item: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for user, item, rating in zip(
        data.user.tolist(), data.item.tolist(), data.rating.tolist(), strict=True
    ):
        by_user[user].append((item, rating))
        by_item[item].append((user, rating))
    users, items = ({n: n for n in range(count)} for count in (data.num_users, data.num_items))
    return surprise.Trainset(
        by_user, by_item, data.num_users, data.num_items, len(data.rating), data.scale, users, items
    )


def _predictor(model: Any, user_factors: FloatArray, data: RatingData) -> Predict:
    """Factors of users and items without a rating are their random start: left out."""
    # not by the keys of the trainset: its dicts gain one for every user that the library asks for
    known_user = np.bincount(data.user, minlength=data.num_users) > 0
    known_item = np.bincount(data.item, minlength=data.num_items) > 0
    left = user_factors * known_user[:, None]
    right = model.qi * known_item[:, None]
    mean = float(model.trainset.global_mean)

    def predict(user: IntArray, item: IntArray) -> FloatArray:
        product = np.einsum("nd,nd->n", left[user], right[item])
        return np.asarray(mean + model.bu[user] + model.bi[item] + product, np.float64)

    return predict


def _peer(name: str, fit: Callable[..., Predict], paper: str, epochs: tuple[float, ...]) -> Peer:
    grid = {"factors": (20.0,), "epochs": epochs, "lr": (0.005,), "reg": (0.05, 0.08, 0.12)}
    return Peer(name, "rating", f"{paper}; scikit-surprise", grid, fit, library="surprise")


SVD = _peer("svd", fit_svd, "Koren, Bell & Volinsky 2009, eqs. (4), (5)", (60.0, 100.0))
SVDPP = _peer("svdpp", fit_svdpp, "Koren 2008, eq. (15)", (40.0, 80.0))
