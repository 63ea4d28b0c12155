"""Readers in one line, and a reporter that remembers what it was told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets import open_dataset
from rrnet_cli.datasets.base import AnySet, OnError
from rrnet_cli.progress import SilentReporter
from rrnet_cli.settings import DataSettings

RATE = 16_000


class Notes(SilentReporter):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def load(
    data: Path | None, notes: Notes | None = None, on_error: OnError = "fail", **settings: Any
) -> Any:
    """Open a data set, check that its source is real and sorted, and load it."""
    reader = open_dataset(DataSettings(**settings), data, on_error=on_error)
    source = reader.source()
    assert list(source.files) == sorted(source.files)
    assert all(path.is_file() and path.is_relative_to(source.root) for path in source.files)
    loaded: AnySet = reader.load(notes or SilentReporter())
    return loaded


def ramp(height: int = 6, width: int = 6, level: int = 0) -> NDArray[np.uint8]:
    """A small RGB picture whose pixels all differ."""
    flat = (np.arange(height * width * 3) * 2 + level) % 256
    return flat.reshape(height, width, 3).astype(np.uint8)


def sine(num: int = 800, rate: int = RATE) -> NDArray[np.float64]:
    """A tone of 440 Hz whose first sample is not zero."""
    wave: NDArray[np.float64] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(1, num + 1) / rate)
    return wave
