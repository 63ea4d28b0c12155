"""One encoded picture to RGB bytes, and many of them into one array (the decoded cache)."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.files import DecompressionBombError, in_threads, num_threads
from rrnet_cli.errors import InputError, ResourceError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
)  # fmt: skip
MAX_PIXELS = 64_000_000
"""Pictures with more are refused before anything is decoded: a few kB can hold gigabytes."""

_ORIENTED = frozenset(("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"))
"""Where Pillow looks for an orientation; looking costs a sixth of decoding a small picture."""

_CHUNK = 128
_DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError,
    NotImplementedError, OverflowError, ZeroDivisionError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's readers raise on damaged files, besides the documented OSError."""


def decode_picture(content: Path | bytes, name: str, size: int | None = None) -> NDArray[np.uint8]:
    """Decode one picture to RGB.

    Turned as its EXIF says; of an animation the first frame; transparent parts over white; 16-bit
    grey scaled (not clipped) to 8 bit; CMYK, palette and the like converted. With `size`, the
    shorter side is scaled to it (bicubic, antialiased) and the middle square is cut out.

    Args:
        content: A file, or the bytes of one.
        name: How messages call the picture.
        size: Side of the result, or none to keep the picture's own size.

    Returns:
        (height, width, 3) uint8.

    Raises:
        DecompressionBombError: More than `MAX_PIXELS`.
        InputError: No picture, damaged, or truncated.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        stream = io.BytesIO(content) if isinstance(content, bytes) else content
        with Image.open(stream) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise _bomb(name, f"{opened.width:,} × {opened.height:,} pixels")
            opened.load()
            if opened.format == "TIFF" or not _ORIENTED.isdisjoint(opened.info):
                ImageOps.exif_transpose(opened, in_place=True)
            picture = _to_rgb(opened, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _bomb(name, "far more pixels than a picture") from error
    except UnidentifiedImageError as error:
        what = "is empty (0 bytes)" if _is_empty(content) else "is no picture that can be read"
        raise InputError(f"{name} {what}") from error
    except _DECODE_ERRORS as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{name} cannot be decoded as a picture: {reason}") from error
    if size is not None and picture.size != (size, size):
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.uint8)


def _bomb(name: str, what: str) -> DecompressionBombError:
    return DecompressionBombError(
        f"{name} claims {what}, more than {MAX_PIXELS // 10**6} million",
        "remove it or scale it down; such files are refused because they can fill the memory",
    )


def _is_empty(content: Path | bytes) -> bool:
    return not (content if isinstance(content, bytes) else content.stat().st_size)


def _to_rgb(picture: Picture, name: str) -> Picture:
    """Any mode to RGB without clipping or showing what transparency hides."""
    from PIL import Image

    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith("I;16") or picture.mode == "I":
        wide = np.asarray(picture).astype(np.int64)
        if wide.size and (wide.min() < 0 or wide.max() > 0xFFFF):
            raise InputError(f"{name} has 32-bit grey values", "save it with 8 or 16 bit")
        return Image.fromarray(((wide * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise InputError(f"{name} has floating-point grey values", "save it with 8 or 16 bit")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return picture.convert("RGB")


@contextmanager
def bomb_warnings_are_errors() -> Iterator[None]:
    """Pillow only warns of pictures up to twice its own limit; ours is lower and is an error."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Damaged metadata is not the picture's content.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


class PictureArray:
    """Decodes pictures in threads, straight into the rows of one preallocated array.

    Args:
        num: Rows to allocate.
        size: Side to scale to; none: all pictures must have the size of the first.
    """

    def __init__(self, num: int, size: int | None) -> None:
        self.num = num
        self.size = size
        self.first = ""
        self.images: NDArray[np.uint8] | None = None

    def decode(
        self, pool: ThreadPoolExecutor, rows: Sequence[int], contents: Sequence[Path | bytes],
        names: Sequence[str],
    ) -> Iterator[tuple[int, InputError | None]]:  # fmt: skip
        """Decode `contents[i]` into row `rows[i]`; yields each row, in order, with its error."""
        start = 0
        while self.images is None and start < len(rows):
            yield rows[start], self._put(rows[start], contents[start], names[start])
            start += 1
        chunks = [range(i, min(i + _CHUNK, len(rows))) for i in range(start, len(rows), _CHUNK)]

        def work(chunk: range) -> list[tuple[int, InputError | None]]:
            return [(rows[i], self._put(rows[i], contents[i], names[i])) for i in chunk]

        for results in in_threads(work, chunks, pool):
            yield from results

    def _put(self, row: int, content: Path | bytes, name: str) -> InputError | None:
        try:
            pixels = decode_picture(content, name, self.size)
        except InputError as error:
            return error
        if self.images is None:
            self.images = allocate(self.num, pixels.shape[0], pixels.shape[1])
            self.first = name
        if pixels.shape != self.images.shape[1:]:
            have, want = (f"{s[1]} × {s[0]}" for s in (pixels.shape, self.images.shape[1:]))
            return InputError(
                f"{name} is {have} pixels, but {self.first} is {want}",
                "give all pictures one size with --set data.image_size=32",
            )
        self.images[row] = pixels
        return None

    def take(self, kept: Sequence[int]) -> NDArray[np.uint8]:
        """The rows that were decoded; a copy only where some were not."""
        if self.images is None:
            return np.zeros((0, 1, 1, 3), dtype=np.uint8)
        return self.images if len(kept) == self.num else self.images[list(kept)]


def scale_grey(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """One square grey picture, (side, side) uint8, scaled to (size, size) (bicubic)."""
    from PIL import Image

    scaled = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(scaled, dtype=np.uint8)


def scale_batch(images: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """RGB pictures (n, height, width, 3), scaled to (n, size, size, 3) as `decode_picture` does."""
    from PIL import Image, ImageOps

    if size is None or images.shape[1:3] == (size, size):
        return images
    scaled = allocate(len(images), size, size)
    for row, pixels in enumerate(images):
        scaled[row] = ImageOps.fit(Image.fromarray(pixels), (size, size), Image.Resampling.BICUBIC)
    return scaled


def allocate(num: int, height: int, width: int) -> NDArray[np.uint8]:
    """Room for `num` RGB pictures.

    Raises:
        ResourceError: More than the memory of this machine.
    """
    needed = num * height * width * 3
    import psutil

    if needed > psutil.virtual_memory().total:
        raise ResourceError(
            f"{num:,} pictures of {width} × {height} pixels need {needed / 2**30:.1f} GiB",
            "choose a smaller --set data.image_size, or fewer instances with --limit",
        )
    return np.empty((num, height, width, 3), dtype=np.uint8)


def decoding_pool() -> ThreadPoolExecutor:
    """Threads for pictures."""
    return ThreadPoolExecutor(num_threads())
