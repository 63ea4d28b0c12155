"""Try every setting of a peer and choose on SELECT, by the rule that chooses RR-Net's epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.scores import candidate_distribution
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.progress import Reporter
from rrnet_cli.training.selection import merit

FLOOR = 1e-7
"""Least probability in the likelihood, as where RR-Net's epoch is chosen."""


@dataclass(frozen=True)
class Tuned:
    """A peer with the settings that were best on SELECT.

    Attributes:
        prediction: See `Peer.fit`.
        params: The chosen settings.
        metrics: What they reach on SELECT.
        trials: One row a tried setting: its parameters and its metrics, in the order tried.
    """

    prediction: Any
    params: Mapping[str, float]
    metrics: Mapping[str, float]
    trials: tuple[dict[str, float], ...]


def tune(peer: Peer, data: ClassData | RatingData, seed: int, reporter: Reporter) -> Tuned:
    """Fit every combination of the grid; of equal ones the first is kept.

    Args:
        peer: Who.
        data: Without test labels.
        seed: Of the peer's random numbers, the same for every trial.
        reporter: Progress in trials.

    Raises:
        ConfigError: Nothing to choose on, or predictions that are not finite for every setting.
    """
    settings = [
        dict(zip(peer.grid, values, strict=True)) for values in product(*peer.grid.values())
    ]
    _require_select(data)
    best: Tuned | None = None
    trials: list[dict[str, float]] = []
    with reporter.task(peer.name, len(settings), "trial") as task:
        for params in settings:
            prediction = peer.fit(data, params, seed, reporter)
            metrics = select_metrics(data, prediction)
            trials.append({**params, **metrics})
            task.advance(status=" ".join(f"{k} {v:.4f}" for k, v in metrics.items()))
            if not np.isfinite(list(metrics.values())).all():
                continue
            if best is None or merit(metrics) > merit(best.metrics):
                best = Tuned(prediction, params, metrics, ())
    if best is None:
        raise ConfigError(f"{peer.name} gives no finite prediction of the select split")
    return Tuned(best.prediction, best.params, best.metrics, tuple(trials))


def select_metrics(data: ClassData | RatingData, prediction: Any) -> dict[str, float]:
    """`select_top1` and `select_nll`, or `select_mae` and `select_rmse` on the raw scale.

    As `eval --split select` says: a class that is no candidate is not answered.
    """
    if isinstance(data, RatingData):
        predicted = prediction(data.select_user, data.select_item)
        error = np.clip(predicted, *data.scale) - data.select_rating
        return {
            "select_mae": float(np.abs(error).mean()),
            "select_rmse": float(np.sqrt(np.square(error).mean())),
        }
    answer = prediction[data.select]
    if not np.isfinite(answer).all():
        return {"select_top1": np.nan, "select_nll": np.nan}
    chosen = candidate_distribution(np.where(data.candidates[data.select], answer, -np.inf))
    match = chosen[np.arange(len(chosen)), data.select_labels]
    return {
        "select_top1": float((chosen.argmax(axis=1) == data.select_labels).mean()),
        "select_nll": float(-np.log(np.maximum(match, FLOOR)).mean()),
    }


def _require_select(data: ClassData | RatingData) -> None:
    count = len(data.select_rating if isinstance(data, RatingData) else data.select)
    if not count:
        raise ConfigError("there are no select instances to tune a peer on", "extract with some")
