"""Picture data sets of one file an instance, and the choice among the picture layouts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from rrnet_cli.datasets.base import ImageSet, OnError, Reader, Source
from rrnet_cli.datasets.cifar import CifarReader, holds_binary, refuse_python_version
from rrnet_cli.datasets.digits import DigitsReader
from rrnet_cli.datasets.image_decode import (
    IMAGE_SUFFIXES,
    PictureArray,
    bomb_warnings_are_errors,
    decoding_pool,
)
from rrnet_cli.datasets.layouts import (
    Located,
    Plan,
    locate_folders,
    locate_manifest,
    make_plan,
)
from rrnet_cli.datasets.picture_parquet import ParquetReader
from rrnet_cli.datasets.share import Share
from rrnet_cli.datasets.splits import check_roles
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import DataSettings


class PictureFileReader:
    """Reads one picture file an instance.

    Args:
        locate: Finds the files; called once, at the first use.
        settings: Split, limit, image size.
        share: The pictures to decode; None for all.
    """

    def __init__(
        self, locate: Callable[[], Located], settings: DataSettings, share: Share | None = None
    ) -> None:
        self.locate = locate
        self.settings = settings
        self.share = share

    @cached_property
    def plan(self) -> Plan:
        """The pictures that were chosen, of which `share` are decoded."""
        return make_plan(self.locate(), self.settings)

    def source(self) -> Source:
        """The tables and the picture files that `load` will read."""
        return self.plan.source

    def load(self, reporter: Reporter) -> ImageSet:
        """Decode the pictures into one array.

        Raises:
            InputError: An unreadable picture under ``fail``, more than half unreadable under
                ``skip``, different sizes without `image_size`, one class only, an empty split.
        """
        plan = self.plan.part(self.share)
        catalogue, skips = plan.located.catalogue, plan.located.skips
        for note in plan.located.notes:
            reporter.note(note)
        array = PictureArray(len(plan.ids), self.settings.image_size)
        kept: list[int] = []
        with (
            reporter.task("Decoding pictures", len(plan.ids), "picture") as task,
            bomb_warnings_are_errors(),
            decoding_pool() as pool,
        ):
            for row, error in array.decode(pool, range(len(plan.ids)), plan.paths, plan.ids):
                if error is None:
                    kept.append(row)
                else:
                    skips.add(plan.ids[row], error)
                task.advance()
        skips.settle(len(kept) + len(skips.reasons), reporter)
        labels, roles = plan.labels[kept], plan.roles[kept]
        judged = (labels, roles) if self.share is None else (self.plan.labels, self.plan.roles)
        check_roles(catalogue.where, *judged, catalogue.class_names)
        return ImageSet(
            ids=tuple(plan.ids[row] for row in kept),
            images=array.take(kept),
            labels=labels,
            class_names=catalogue.class_names,
            roles=roles,
            skipped=dict(skips.reasons),
            groups=plan.groups if plan.groups is None else plan.groups[kept],
        )


def open_images(
    settings: DataSettings, data: Path | None, on_error: OnError, share: Share | None = None
) -> Reader:
    """The reader of a picture layout.

    The Parquet layout also takes a folder with CIFAR's binary version, so that one recipe serves
    both distributions; CIFAR's python version is pickled and refused everywhere.
    """
    if settings.layout == "digits":
        return DigitsReader(settings, share)
    if data is not None:
        refuse_python_version(data)
    if settings.layout == "cifar-binary":
        return CifarReader(settings, data, share)
    if settings.layout == "image-parquet":
        if data is not None and holds_binary(data):
            return CifarReader(settings, data, share)
        return ParquetReader(settings, data, on_error, share)

    def locate() -> Located:
        if settings.layout == "image-folder":
            return locate_folders(data, IMAGE_SUFFIXES, "pictures", on_error)
        return locate_manifest(data, on_error)

    return PictureFileReader(locate, settings, share)
