"""Files of word vectors: recognised and measured before gensim parses them.

gensim believes the header: a file of 20 bytes that promises 10⁹ words of 10⁴ numbers makes it ask
for 40 TB. So the header is compared with the size of the file first.
"""

from __future__ import annotations

import gzip
import re
import traceback
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from rrnet_cli.errors import InputError

if TYPE_CHECKING:
    from gensim.models import KeyedVectors

MAX_DIM = 8192
MAX_LINE = 1 << 20
MAX_GZIP_RATIO = 40
"""Real vectors shrink 1.1-fold (binary) to 4-fold (text) by gzip."""

_PICKLES = (".kv", ".model", ".pkl", ".pickle", ".pt", ".pth", ".npy", ".npz")
_GZIP = b"\x1f\x8b"
_WHAT = "word2vec binary, word2vec text or GloVe text, plain or .gz"


@dataclass(frozen=True)
class Format:
    """What the first lines of a file say.

    Attributes:
        kind: Binary, or text with or without a header line.
        num_words: As the header says; for GloVe text, the number of lines.
        dim: Numbers a word.
        header_bytes: Length of the header line.
    """

    kind: Literal["binary", "text", "glove"]
    num_words: int
    dim: int
    header_bytes: int

    @property
    def least_bytes(self) -> int:
        """The smallest file that can hold so much: words of one letter, numbers of one digit."""
        per_word = 4 * self.dim + 2 if self.kind == "binary" else 2 * self.dim + 2
        return self.header_bytes + self.num_words * per_word - 1


def read(path: Path) -> KeyedVectors:
    """Read a file of word vectors with gensim.

    Raises:
        InputError: Not such a file, or one that cannot hold what its header promises.
    """
    from gensim.models import KeyedVectors

    found = detect(path)
    with warnings.catch_warnings():
        # gensim leaves a file without header open until its function returns.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return KeyedVectors.load_word2vec_format(
                str(path),
                binary=found.kind == "binary",
                no_header=found.kind == "glove",
                unicode_errors="replace",
            )
        except (ValueError, EOFError, OSError, zlib.error, AssertionError) as error:
            traceback.clear_frames(error.__traceback__)
            raise InputError(
                f"{path.name} cannot be read as word vectors: {error}",
                "it may be damaged or incomplete; download it again",
            ) from error


def detect(path: Path) -> Format:
    """Recognise the format by content and check its size.

    Raises:
        InputError: A pickle, an unknown format, or a header that the file cannot fulfil.
    """
    if path.suffix in _PICKLES:
        raise _refused(path, f"{path.suffix} files are pickles or arrays, which are not read")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
        if packed and path.suffix != ".gz":
            raise _refused(path, "it is packed by gzip, but not called .gz")
        size = path.stat().st_size * (MAX_GZIP_RATIO if packed else 1)
        with _open(path, packed) as stream:
            found = _detect(path, stream, size)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _refused(path, reason) from error
    if not 0 < found.dim <= MAX_DIM or found.num_words < 1:
        raise _refused(path, f"it promises {found.num_words} words of {found.dim} numbers")
    if found.least_bytes > size:
        raise _refused(
            path,
            f"it promises {found.num_words:,} words of {found.dim:,} numbers, which "
            f"{path.stat().st_size:,} bytes cannot hold",
        )
    return found


def _open(path: Path, packed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _detect(path: Path, stream: BinaryIO, limit: int) -> Format:
    first = stream.readline(MAX_LINE)
    if not first.endswith(b"\n"):
        raise _refused(path, "it has no lines")
    if re.fullmatch(rb"\d{1,18} \d{1,18}\s*", first):
        num_words, dim = (int(number) for number in first.split())
        second = stream.readline(MAX_LINE)
        kind: Literal["binary", "text"] = "text" if _numbers(second) == dim else "binary"
        return Format(kind, num_words, dim, len(first))
    width = _numbers(first)
    if width is None or width < 2:
        raise _refused(path, "its first line is neither a header nor a word with its numbers")
    return Format("glove", _count_lines(path, stream, limit) + 1, width, 0)


def _numbers(line: bytes) -> int | None:
    """How many numbers follow the word; None where the line is no word with numbers."""
    try:
        parts = line.decode("utf-8").rstrip().split(" ")
        return len([float(part) for part in parts[1:]])
    except ValueError:
        return None


def _count_lines(path: Path, stream: BinaryIO, limit: int) -> int:
    lines = total = 0
    while block := stream.read(1 << 20):
        total += len(block)
        if total > limit:  # only a gzip bomb unpacks to more than `limit`
            raise _refused(path, f"it unpacks to more than {limit:,} bytes")
        lines += block.count(b"\n")
        last = block
    return lines + (1 if total and not last.endswith(b"\n") else 0)


def _refused(path: Path, reason: str) -> InputError:
    return InputError(f"{path.name} is no file of word vectors: {reason}", f"needed is {_WHAT}")
