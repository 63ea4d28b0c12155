"""What the baselines of sounds and pictures are given and give, and how a prior is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rrnet_cli.progress import Reporter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rrnet_cli.features.cross_fit import Refit

VIEWS = "views.safetensors"
"""Logits over all views of a picture, in features of several."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network after its training.

    Attributes:
        weights: By name.
        history: One row an epoch.
        precision: That it was trained in.
    """

    weights: Mapping[str, Any]
    history: pa.Table
    precision: str

    @property
    def facts(self) -> dict[str, Any]:
        """For the summary."""
        return {"precision": self.precision, "epochs": self.history.num_rows}


@dataclass(frozen=True)
class Training:
    """What a training needs besides data and settings.

    Attributes:
        workspace: Folder for checkpoints.
        resume: Go on from a checkpoint there.
        device: ``auto``, ``cpu`` or ``cuda``.
        reporter: Progress and notes.
        given: What is used instead of training; None to train.
    """

    workspace: Path
    resume: bool
    device: str
    reporter: Reporter
    given: TrainedNetwork | None = None


@dataclass(frozen=True)
class Baseline:
    """What a baseline says of every instance.

    Attributes:
        features: (num_instances, dim) float32.
        logits: (num_instances, num_classes) float32.
        weights: Of the baseline, by name.
        refit: Fits another one for cross-fitting; gives logits. None where there is none to fit.
        history: One row an epoch; None for closed forms.
        facts: More for the summary.
        joined: (num_instances, num_classes) float32 logits over all views of a picture, where the
            prior is that of the plain picture alone; else None.
    """

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    weights: Mapping[str, Any]
    refit: Refit | None = None
    history: pa.Table | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    joined: NDArray[np.float32] | None = None


def prior_facts(parts: NDArray[np.int64] | None) -> dict[str, Any]:
    """For the summary: whether the baseline that gave the prior of FIT had seen it.

    Args:
        parts: (n,) part of each FIT instance, -1 of the others; None without cross-fitting.
    """
    if parts is None:
        return {"prior": "in-sample"}
    return {"prior": "out-of-fold", "parts": np.bincount(parts[parts >= 0]).tolist()}


def part_column(parts: NDArray[np.int64] | None) -> dict[str, pa.Array]:
    """The column ``part``, -1 outside FIT; no column without cross-fitting."""
    return {} if parts is None else {"part": pa.array(parts, pa.int64())}
