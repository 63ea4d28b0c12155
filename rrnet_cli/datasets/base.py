"""What every data set reader gives: instances or ratings, labels, and a role for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.progress import Reporter

FIT, SELECT, TEST, HOLD = range(4)
"""Roles: the baseline and RR-Net are fitted on FIT, chosen on SELECT, judged on TEST. HOLD is known
but never fitted by the baseline; where there is any, it supervises RR-Net in the place of FIT."""
ROLE_NAMES = ("fit", "select", "test", "hold")

OnError = Literal["fail", "skip"]


@dataclass(frozen=True)
class Source:
    """The raw files that a reader will read: what a version digest is taken over.

    Attributes:
        root: Folder that the relative names are taken against; never recorded.
        files: Absolute paths below `root`, sorted; all of them are hashed.
    """

    root: Path
    files: tuple[Path, ...]


@dataclass(frozen=True)
class AudioSet:
    """Decoded clips: mono, 16-bit, exact-zero head and tail removed (Sec. IV-A1).

    Attributes:
        ids: Name of each clip, unique: its path relative to the root, POSIX.
        clips: One int16 array (num_samples,) a clip, never empty.
        sample_rate: In Hz, of all clips.
        labels: (num_instances,) int64 index into `class_names`.
        class_names: Names as words, e.g. ``clock tick``.
        roles: (num_instances,) int8 of FIT, SELECT, TEST, HOLD.
        skipped: Unreadable files left out under `on_error="skip"`: name and reason.
        groups: (num_instances,) int64 where instances of one number must stay together.
    """

    ids: tuple[str, ...]
    clips: tuple[NDArray[np.int16], ...]
    sample_rate: int
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    roles: NDArray[np.int8]
    skipped: Mapping[str, str] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None
    modality: str = "audio"


@dataclass(frozen=True)
class ImageSet:
    """Decoded pictures: the uint8 cache that training crops and flips from.

    Attributes:
        images: (num_instances, height, width, 3) uint8 RGB, C-contiguous.
        (the others as in `AudioSet`; ids of pictures in a Parquet file are ``train/17``)
    """

    ids: tuple[str, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    roles: NDArray[np.int8]
    skipped: Mapping[str, str] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None
    modality: str = "image"


@dataclass(frozen=True)
class RatingSet:
    """Ratings and trust links, users and items renumbered from 0, one row a (user, item) pair.

    Attributes:
        user_ids: Raw ids in ascending order (numeric where all are integers); row i is user i.
        item_ids: Likewise.
        user, item: (num_ratings,) int64; rows sorted by user then item.
        rating: (num_ratings,) float32 on the raw scale.
        roles: (num_ratings,) int8 of FIT, SELECT, TEST, HOLD.
        scale: Lowest and highest rating of the scale.
        links: (2, num_links) int64, truster then trustee, distinct, no self-links; only users
            with ratings (the others are counted in a note).
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float32]
    roles: NDArray[np.int8]
    scale: tuple[float, float]
    links: NDArray[np.int64]


AnySet = AudioSet | ImageSet | RatingSet


def count_roles(roles: NDArray[np.int8]) -> dict[str, int]:
    """How many instances have each role, by its name; ``hold`` only where there are any."""
    named = (FIT, HOLD, SELECT, TEST) if (roles == HOLD).any() else (FIT, SELECT, TEST)
    return {ROLE_NAMES[role]: int((roles == role).sum()) for role in named}


class Reader(Protocol):
    """A located data set: cheap to make, expensive only in `load`."""

    def source(self) -> Source:
        """The files that `load` will read (raises InputError when the folder is not there)."""

    def load(self, reporter: Reporter) -> AnySet:
        """Decode everything; raises InputError naming the file and what to do."""
