"""Word vectors of the label modality: found, digested, and read once a process."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rrnet_cli.features.word2vec import VectorSource, embed_labels, load_vectors, locate_vectors
from rrnet_cli.settings import TextSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from gensim.models import KeyedVectors
    from numpy.typing import NDArray

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class TextSource:
    """Word vectors that are there, and what they are.

    Attributes:
        settings: How they were asked for.
        name: For people; a file's own name, without its folder.
        digest: sha256 over their content, not their names.
        stamp: Path, size and modification time of each file: how a process knows them again.
    """

    settings: TextSettings
    name: str
    digest: str
    stamp: Stamp

    def embed(self, class_names: Sequence[str]) -> NDArray[np.float32]:
        """(num_classes, dim) float32; see `embed_labels`."""
        return embed_labels(
            class_names, _load(self.settings.vectors, self.stamp), self.settings.oov
        )


def locate(settings: TextSettings) -> TextSource:
    """Find and digest the word vectors.

    Raises:
        InputError: No such file.
        ResourceError: Not installed, or not downloaded.
    """
    source = locate_vectors(settings.vectors)
    stamp = _stamp(source)
    return TextSource(settings, source.name, _digest(stamp), stamp)


def _stamp(source: VectorSource) -> Stamp:
    return tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in source.files)


@lru_cache(maxsize=4)
def _digest(stamp: Stamp) -> str:
    whole = hashlib.sha256()
    for name, _, _ in stamp:
        with Path(name).open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()


@lru_cache(maxsize=1)
def _load(vectors: str, stamp: Stamp) -> KeyedVectors:
    """Five folds need the same vectors, and a large file takes a minute to parse."""
    return load_vectors(vectors)
