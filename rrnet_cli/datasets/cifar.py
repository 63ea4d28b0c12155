"""CIFAR-10 and CIFAR-100 in their binary version; the pickled python version is refused."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.base import FIT, TEST, ImageSet, Source
from rrnet_cli.datasets.files import need_folder, printable
from rrnet_cli.datasets.image_decode import allocate, scale_batch
from rrnet_cli.datasets.manifests import as_words
from rrnet_cli.datasets.share import Share, take
from rrnet_cli.datasets.splits import Catalogue, assign_roles, check_roles, keep_limit
from rrnet_cli.errors import InputError
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import DataSettings

SIDE = 32
_PIXELS = 3 * SIDE * SIDE


@dataclass(frozen=True)
class Version:
    """One of the two data sets.

    Attributes:
        folder: What the archive unpacks to.
        train, test: Batch files.
        names: File of the class names, one a line.
        label_bytes: Before the pixels of each record; the last one is the label.
    """

    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    label_bytes: int


VERSIONS = (
    Version(
        "cifar-10-batches-bin",
        tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test_batch.bin",
        "batches.meta.txt",
        1,
    ),
    Version("cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", 2),
)
PYTHON_MARKS = (
    "cifar-10-batches-py/data_batch_1",
    "cifar-100-python/train",
    "data_batch_1",
    "batches.meta",
)


def refuse_python_version(data: Path) -> None:
    """Raises InputError where `data` is, or holds nothing but, CIFAR's python version."""
    pickled = any((data / mark).is_file() for mark in PYTHON_MARKS) or (
        (data / "train").is_file() and (data / "meta").is_file()
    )
    if pickled and not holds_binary(data):
        raise InputError(
            f"{printable(data.name)} is CIFAR's python version, whose files are pickles; "
            "reading a pickle can run any program, so none is read",
            "download the binary version (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz), "
            "or the Parquet files of the hub",
        )


def _find(data: Path) -> tuple[Path, Version] | None:
    """The folder of the binary version, at `data` or directly below, and which one it is."""
    for version in VERSIONS:
        for folder in (data, data / version.folder):
            if (folder / version.train[0]).is_file() or (folder / version.test).is_file():
                return folder, version
    return None


def holds_binary(data: Path) -> bool:
    """Whether `data` is a folder with CIFAR's binary version."""
    return _find(data) is not None


class CifarReader:
    """Reads records of label bytes and 3,072 pixels, channel by channel.

    Args:
        settings: Validation fraction, limit, image size.
        data: `cifar-10-batches-bin`, `cifar-100-binary`, or the folder that holds one.
        share: The pictures to keep; None for all.
    """

    def __init__(
        self, settings: DataSettings, data: Path | None, share: Share | None = None
    ) -> None:
        self.settings = settings
        self.share = share
        self.data = data

    @cached_property
    def _located(self) -> tuple[Path, Version]:
        root = need_folder(self.data, "the folder cifar-10-batches-bin or cifar-100-binary")
        found = _find(root)
        if found is None:
            raise InputError(
                f"{printable(root.name)} holds no CIFAR batches",
                "name the folder cifar-10-batches-bin or cifar-100-binary with --data",
            )
        folder, version = found
        for name in (*version.train, version.test, version.names):
            if not (folder / name).is_file():
                raise InputError(f"{printable(folder.name)} has no {name}", "complete the download")
        return found

    def source(self) -> Source:
        """The batches and the file of class names."""
        folder, version = self._located
        names = sorted((*version.train, version.test, version.names))
        return Source(folder, tuple(folder / name for name in names))

    def load(self, reporter: Reporter) -> ImageSet:
        """Read all batches; SELECT is carved out of train.

        Raises:
            ConfigError: A fold was asked for.
            InputError: A batch of a wrong size, or a label beyond the class names.
        """
        folder, version = self._located
        names = _class_names(folder / version.names)
        batches = []
        files = (*version.train, version.test)
        with reporter.task("Reading batches", len(files), "file") as task:
            for name in files:
                batches.append(_records(folder / name, version, len(names)))
                task.advance()
        num_test = len(batches[-1])
        labels = np.concatenate([b[:, version.label_bytes - 1] for b in batches]).astype(np.int64)
        given = np.full(len(labels), FIT, dtype=np.int8)
        num_train = len(labels) - num_test
        given[num_train:] = TEST
        ids = [f"train/{row}" for row in range(num_train)]
        ids += [f"test/{row}" for row in range(num_test)]
        catalogue = Catalogue(folder.name, tuple(ids), labels, names, given)
        roles = assign_roles(catalogue, self.settings)
        kept = keep_limit(labels, roles, self.settings.limit, self.settings.split_seed)
        check_roles(catalogue.where, labels[kept], roles[kept], names)
        kept = take(kept, self.share)
        images = allocate(len(labels), SIDE, SIDE)
        start = 0
        for batch in batches:
            planes = batch[:, version.label_bytes :].reshape(-1, 3, SIDE, SIDE)
            images[start : start + len(batch)] = planes.transpose(0, 2, 3, 1)
            start += len(batch)
        images = images if len(kept) == len(images) else images[kept]
        return ImageSet(
            ids=tuple(ids[row] for row in kept.tolist()),
            images=scale_batch(images, self.settings.image_size),
            labels=labels[kept],
            class_names=names,
            roles=roles[kept],
        )


def _class_names(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{file.name} is no text of class names") from error
    return tuple(as_words(line) for line in lines if line.strip())


def _records(file: Path, version: Version, num_classes: int) -> NDArray[np.uint8]:
    """(num_records, label bytes + 3,072) uint8."""
    width = version.label_bytes + _PIXELS
    raw = np.fromfile(file, dtype=np.uint8)
    if not len(raw) or len(raw) % width:
        raise InputError(
            f"{file.name} has {len(raw):,} bytes, no multiple of {width:,}: it is truncated "
            "or no CIFAR batch",
            "download it again",
        )
    records = raw.reshape(-1, width)
    beyond = np.flatnonzero(records[:, version.label_bytes - 1] >= num_classes)
    if len(beyond):
        raise InputError(
            f"{file.name}, record {beyond[0]} has a label beyond the {num_classes} class names"
        )
    return records
