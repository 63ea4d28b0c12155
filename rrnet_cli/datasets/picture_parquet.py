"""Pictures in Parquet, the hub's layout: `img` or `image` struct{bytes, path}, and a label."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.base import ImageSet, OnError, Source
from rrnet_cli.datasets.files import Skips, need_path, printable, walk_files
from rrnet_cli.datasets.image_decode import (
    PictureArray,
    bomb_warnings_are_errors,
    decoding_pool,
)
from rrnet_cli.datasets.manifests import as_words, encode_labels
from rrnet_cli.datasets.share import Share, take
from rrnet_cli.datasets.splits import (
    ROLE_WORDS,
    Catalogue,
    assign_roles,
    check_roles,
    keep_limit,
)
from rrnet_cli.errors import InputError
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import DataSettings

if TYPE_CHECKING:
    import pyarrow.parquet as pq

PICTURE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label", "labels")
_SHARD = re.compile(r"(?P<split>[A-Za-z]+)(?:-(?P<at>\d{5})-of-(?P<of>\d{5}).*)?")
_BATCH = 1024


@dataclass(frozen=True)
class Shard:
    """One file: its split's name as written (empty where it has none) and its columns."""

    file: Path
    split: str
    picture: str
    label: str
    names: tuple[str, ...] | None
    num_rows: int


class ParquetReader:
    """Reads the hub's Parquet layout.

    Args:
        settings: Split, limit, image size.
        data: A folder with the files at any depth, or one file.
        on_error: What to do about an unreadable picture.
        share: The pictures to decode; None for all.
    """

    def __init__(
        self,
        settings: DataSettings,
        data: Path | None,
        on_error: OnError,
        share: Share | None = None,
    ) -> None:
        self.settings = settings
        self.share = share
        self.data = data
        self.on_error = on_error

    @cached_property
    def _files(self) -> tuple[Path, tuple[Path, ...]]:
        root = need_path(self.data, "a folder with Parquet files of pictures")
        if root.is_file():
            return root.parent, (root,)
        files, _ = walk_files(root, (".parquet",))
        if not files:
            raise InputError(
                f"{printable(root.name)} holds no Parquet file",
                "name the folder with train-*.parquet and test-*.parquet with --data",
            )
        _check_shards(files)
        return root, tuple(files)

    def source(self) -> Source:
        """All Parquet files."""
        return Source(*self._files)

    def load(self, reporter: Reporter) -> ImageSet:
        """Read the labels, choose, and decode the chosen pictures into one array.

        Raises:
            ConfigError: A fold was asked for.
            InputError: No such columns, labels without names, an unreadable picture (by policy),
                different sizes without `image_size`, one class only, an empty split.
        """
        root, files = self._files
        shards = [_open_shard(file, root) for file in files]
        catalogue = _catalogue(printable(root.name), shards)
        roles = assign_roles(catalogue, self.settings)
        whole = keep_limit(catalogue.labels, roles, self.settings.limit, self.settings.split_seed)
        chosen = take(whole, self.share)
        skips = Skips(self.on_error, catalogue.where)
        array = PictureArray(len(chosen), self.settings.image_size)
        kept: list[int] = []
        with (
            reporter.task("Decoding pictures", len(chosen), "picture") as task,
            bomb_warnings_are_errors(),
            decoding_pool() as pool,
        ):
            for rows, contents in _contents(shards, chosen):
                names = [catalogue.ids[chosen[row]] for row in rows]
                for row, error in array.decode(pool, rows, contents, names):
                    if error is None:
                        kept.append(row)
                    else:
                        skips.add(catalogue.ids[chosen[row]], error)
                    task.advance()
        skips.settle(len(chosen), reporter)
        final = chosen[kept]
        labels = catalogue.labels[final]
        judged = final if self.share is None else whole
        check_roles(catalogue.where, catalogue.labels[judged], roles[judged], catalogue.class_names)
        return ImageSet(
            ids=tuple(catalogue.ids[row] for row in final.tolist()),
            images=array.take(kept),
            labels=labels,
            class_names=catalogue.class_names,
            roles=roles[final],
            skipped=dict(skips.reasons),
        )


def _check_shards(files: Sequence[Path]) -> None:
    """Refuse a download that stopped between the shards of a split."""
    for file in files:
        match = _SHARD.fullmatch(file.stem)
        if match is None or match["of"] is None:
            continue
        for number in range(int(match["of"])):
            wanted = re.compile(rf"{re.escape(match['split'])}-{number:05d}-of-{match['of']}.*")
            if not any(f.parent == file.parent and wanted.fullmatch(f.stem) for f in files):
                raise InputError(
                    f"{match['split']}-{number:05d}-of-{match['of']}.parquet is missing beside "
                    f"{printable(file.name)}",
                    "complete the download",
                )


def _open_shard(file: Path, root: Path) -> Shard:
    """Read one file's schema: which columns, and the class names in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = printable(file.name)
    try:
        with pq.ParquetFile(file) as parquet:
            schema, num_rows = parquet.schema_arrow, parquet.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name} is no readable Parquet file", "download it again") from error
    picture = next((c for c in PICTURE_COLUMNS if c in schema.names), None)
    label = next((c for c in LABEL_COLUMNS if c in schema.names), None)
    if picture is None or label is None:
        raise InputError(
            f"{name} has no column '{'img' if picture is None else 'label'}': it has "
            f"{', '.join(schema.names)}; expected are img or image, and label or fine_label"
        )
    kind = schema.field(picture).type
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        raise InputError(f"{name}: the column '{picture}' is no struct of bytes and path")
    split = _SHARD.fullmatch(file.stem)
    word = split["split"] if split and split["split"].lower() in ROLE_WORDS else ""
    if not word and file.parent != root:  # the hub's converted branch: train/0000.parquet
        word = file.parent.name if file.parent.name.lower() in ROLE_WORDS else ""
    return Shard(file, word, picture, label, _class_names(schema, label, name), num_rows)


def _class_names(schema: Any, label: str, name: str) -> tuple[str, ...] | None:
    """The names under `huggingface` in the schema's metadata, or none."""
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return None
    try:
        feature = json.loads(raw)["info"]["features"][label]
        names = feature.get("names")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{name}: its schema metadata 'huggingface' is damaged") from error
    return None if names is None else tuple(as_words(str(n)) for n in names)


def _catalogue(where: str, shards: Sequence[Shard]) -> Catalogue:
    """Labels, names and splits of all rows, files in ascending order."""
    words = {shard.split for shard in shards}
    if "" in words and len(words) > 1:
        odd = next(shard.file.name for shard in shards if not shard.split)
        raise InputError(
            f"{printable(odd)} tells no split, though other files of {where} do",
            "name it train-….parquet, test-….parquet or validation-….parquet",
        )
    if len({(shard.label, shard.names) for shard in shards}) > 1:
        raise InputError(f"the Parquet files of {where} disagree about labels or class names")
    labels, names = _labels(where, shards)
    given = [ROLE_WORDS[s.split.lower()] for s in shards for _ in range(s.num_rows) if s.split]
    counts: dict[str, int] = {}
    ids: list[str] = []
    for shard in shards:
        split = shard.split or "row"
        start = counts.get(split, 0)
        ids += [f"{split}/{row}" for row in range(start, start + shard.num_rows)]
        counts[split] = start + shard.num_rows
    roles = None if words == {""} else np.array(given, dtype=np.int8)
    return Catalogue(where, tuple(ids), labels, names, roles)


def _labels(where: str, shards: Sequence[Shard]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    values: list[int | str] = []
    for shard in shards:
        column = _read_column(shard, shard.label)
        if None in column:
            row = column.index(None)
            raise InputError(f"{printable(shard.file.name)}, row {row} has no {shard.label}")
        values += column
    if all(isinstance(value, str) for value in values):
        return encode_labels([str(value) for value in values], where)
    if not all(isinstance(value, int) for value in values):
        raise InputError(f"the column '{shards[0].label}' of {where} is neither integer nor text")
    names = shards[0].names
    if names is None:
        raise InputError(
            f"the Parquet files of {where} have numbers for labels but no class names",
            "keep the hub's schema metadata 'huggingface', or write the labels as text",
        )
    labels = np.array(values, dtype=np.int64)
    beyond = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(beyond):
        raise InputError(
            f"row {beyond[0]} of {where} has the label {labels[beyond[0]]}, "
            f"but there are {len(names)} class names"
        )
    return labels, names


def _read_column(shard: Shard, column: str) -> list[Any]:
    with _parquet(shard) as parquet, _damage(shard):
        values: list[Any] = parquet.read(columns=[column])[column].to_pylist()
    return values


def _contents(
    shards: Sequence[Shard], chosen: NDArray[np.int64]
) -> Iterator[tuple[list[int], list[bytes]]]:
    """Batches of positions in `chosen` and the encoded pictures there, read as a stream."""
    start = 0
    for shard in shards:
        with _parquet(shard) as parquet, _damage(shard):
            column = [f"{shard.picture}.bytes"]
            for batch in parquet.iter_batches(_BATCH, columns=column):
                stop = start + batch.num_rows
                low, high = np.searchsorted(chosen, (start, stop)).tolist()
                if low < high:
                    field = batch.column(0).field("bytes")
                    picked = field.take(_indices(chosen[low:high] - start)).to_pylist()
                    yield list(range(low, high)), [value or b"" for value in picked]
                start = stop


def _indices(rows: NDArray[np.int64]) -> Any:
    import pyarrow as pa

    return pa.array(rows)


def _parquet(shard: Shard) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(shard.file)


@contextmanager
def _damage(shard: Shard) -> Iterator[None]:
    """Name the file when pyarrow finds its pages damaged."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{printable(shard.file.name)} is damaged: {error}", "download it again"
        ) from error
