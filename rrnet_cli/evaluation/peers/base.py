"""What a peer is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.features.rating_data import FloatArray, IntArray
from rrnet_cli.progress import Reporter

Task = Literal["rating", "classification"]
Predict = Callable[[IntArray, IntArray], FloatArray]
"""Users (n,) and items (n,) to ratings (n,) on the raw scale, clipped to it or not."""


@dataclass(frozen=True)
class ClassData:
    """A classification, without any label of a test instance.

    To peers, held instances are fitted ones: their docstrings call both FIT.

    Attributes:
        features: (N, d) float32, standardised over all nodes.
        log_prior: (N, C) float32, log-softmax of the baseline's logits.
        labels: (N,) int64, -1 wherever the instance is neither FIT nor HOLD.
        held: (N,) bool, the HOLD instances: known, and not what the baseline was fitted on.
        select: (num_select,) int64 indices.
        select_labels: (num_select,) int64.
        edges: (2, E) int64 intra-edges, row 0 source, row 1 destination.
        weight: (E,) float32 similarity.
        candidates: (N, C) bool, the inter-edges: an answer counts among these alone.
        log_views: (N, C) float32, as `log_prior`, of the baseline's answers averaged over views of
            a picture; None where there is one view.
    """

    features: NDArray[np.float32]
    log_prior: NDArray[np.float32]
    labels: IntArray
    held: NDArray[np.bool_]
    select: IntArray
    select_labels: IntArray
    edges: IntArray
    weight: NDArray[np.float32]
    candidates: NDArray[np.bool_]
    log_views: NDArray[np.float32] | None = None

    @property
    def log_answer(self) -> NDArray[np.float32]:
        """The baseline's last word, (N, C): over all views where there are several."""
        return self.log_prior if self.log_views is None else self.log_views


@dataclass(frozen=True)
class Peer:
    """One method to compare with.

    Attributes:
        name: As it is asked for.
        task: What it can do.
        reference: The paper; its formula stands in the module.
        grid: Values of each setting, tried in full product and chosen on SELECT.
        fit: Data, one value of each setting, seed, reporter -> prediction; for classes (N, C)
            float64 probabilities of all instances, rows summing to 1; for ratings a `Predict`.
        social: Whether it reads `links` and is nothing without them.
        several_views: Whether it reads `log_views` and is nothing without them.
        fitted_prior: Whether it learns from the prior of FIT, so that one from baselines which did
            not see the instance is worth its cost.
        library: Module of the extra `peers` that it needs; None for what is always there.
        revision: Raised with every change of what it computes: what is stored is then made anew.
    """

    name: str
    task: Task
    reference: str
    grid: Mapping[str, tuple[float, ...]]
    fit: Callable[[Any, Mapping[str, float], int, Reporter], Any]
    social: bool = False
    several_views: bool = False
    fitted_prior: bool = False
    library: str | None = None
    revision: int = 1
