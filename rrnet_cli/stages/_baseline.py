"""What the baselines of sounds and pictures are given, and what they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrnet_cli.progress import Reporter

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Training:
    """What a training needs besides data and settings.

    Attributes:
        workspace: Folder for checkpoints.
        resume: Go on from a checkpoint there.
        device: ``auto``, ``cpu`` or ``cuda``.
        reporter: Progress and notes.
    """

    workspace: Path
    resume: bool
    device: str
    reporter: Reporter


@dataclass(frozen=True)
class Baseline:
    """What a baseline says of every instance.

    Attributes:
        features: (num_instances, dim) float32.
        logits: (num_instances, num_classes) float32.
        weights: Of the baseline, by name.
        history: One row an epoch; None for closed forms.
        facts: More for the summary.
    """

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    weights: Mapping[str, Any]
    history: pa.Table | None = None
    facts: dict[str, Any] = field(default_factory=dict)
