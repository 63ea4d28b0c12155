"""The embedded default: scikit-learn's 1,797 hand-written digits, no download needed."""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path

import numpy as np

from rrnet_cli.datasets.base import ImageSet, Source
from rrnet_cli.datasets.image_decode import scale_grey
from rrnet_cli.datasets.share import Share, take
from rrnet_cli.datasets.splits import Catalogue, assign_roles, check_roles, keep_limit
from rrnet_cli.errors import ResourceError
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import DataSettings

CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DEFAULT_SIZE = 32
MAX_VALUE = 16


class DigitsReader:
    """Reads the table inside scikit-learn: 8 × 8 grey values of 0 to 16, and the digit.

    Args:
        settings: Split, limit, image size (32 when unset).
        share: The digits to keep; None for all.
    """

    def __init__(self, settings: DataSettings, share: Share | None = None) -> None:
        self.settings = settings
        self.share = share

    @cached_property
    def table(self) -> Path:
        """The file, found without importing the library."""
        spec = importlib.util.find_spec("sklearn")
        if spec is None or spec.origin is None:
            raise ResourceError("scikit-learn is not installed", "pip install scikit-learn")
        path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if not path.is_file():
            raise ResourceError(
                "this scikit-learn came without its digits", "reinstall scikit-learn"
            )
        return path

    def source(self) -> Source:
        """The one table."""
        return Source(self.table.parent, (self.table,))

    def load(self, reporter: Reporter) -> ImageSet:
        """Scale the digits to RGB squares (bicubic); about 80/10/10 by `split_seed`.

        Raises:
            ConfigError: A fold was asked for.
            InputError: `limit` leaves a split empty.
        """
        raw = np.loadtxt(self.table, delimiter=",", dtype=np.int64)
        labels = raw[:, -1]
        catalogue = Catalogue(
            "digits", tuple(f"digits/{row}" for row in range(len(raw))), labels, CLASS_NAMES
        )
        roles = assign_roles(catalogue, self.settings)
        kept = keep_limit(labels, roles, self.settings.limit, self.settings.split_seed)
        check_roles(catalogue.where, labels[kept], roles[kept], CLASS_NAMES)
        kept = take(kept, self.share)
        size = self.settings.image_size or DEFAULT_SIZE
        grey = (raw[kept, :-1] * 255 // MAX_VALUE).astype(np.uint8).reshape(-1, 8, 8)
        images = np.empty((len(kept), size, size, 3), dtype=np.uint8)
        with reporter.task("Scaling digits", len(kept), "picture") as task:
            for row, digit in enumerate(grey):
                images[row] = scale_grey(digit, size)[:, :, None]
                task.advance()
        return ImageSet(
            ids=tuple(catalogue.ids[row] for row in kept.tolist()),
            images=images,
            labels=labels[kept],
            class_names=CLASS_NAMES,
            roles=roles[kept],
        )
