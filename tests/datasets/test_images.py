from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rrnet_cli.datasets import image_decode
from rrnet_cli.datasets.base import FIT, SELECT, TEST
from rrnet_cli.datasets.files import DecompressionBombError
from rrnet_cli.datasets.image_decode import bomb_warnings_are_errors, decode_picture
from rrnet_cli.errors import ConfigError, InputError, ResourceError
from tests.datasets.helpers import Notes, load, ramp


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for level, name in enumerate(("maple_tree", "ray")):
        (tmp_path / name).mkdir()
        for number in range(6):
            picture = Image.fromarray(ramp(level=20 * number + level))
            picture.save(tmp_path / name / f"{number}.png")
    return tmp_path


def split_folder(root: Path, counts: dict[str, int], names: tuple[str, ...] = ("a", "b")) -> Path:
    for split, count in counts.items():
        for name in names:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(ramp()).save(root / split / name / f"{number}.png")
    return root


# one picture


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_rgb_comes_back_exactly(kind):
    assert (decode_picture(encoded(Image.fromarray(ramp()), kind), "x") == ramp()).all()


def test_sixteen_bit_grey_is_scaled_not_clipped():
    wide = (np.arange(64).reshape(8, 8) * 1040).astype(np.uint16)
    decoded = decode_picture(encoded(Image.fromarray(wide)), "x")
    expected = np.rint(wide / 65535 * 255).astype(int)
    assert np.abs(decoded - expected[:, :, None]).max() <= 1
    assert decoded.max() > 240
    assert len(np.unique(decoded)) > 50


def test_grey_and_one_bit_become_three_equal_channels():
    grey = ramp()[:, :, 0].copy()
    assert (decode_picture(encoded(Image.fromarray(grey)), "x") == grey[:, :, None]).all()
    one_bit = Image.fromarray(grey).point(lambda v: 255 * (v > 99), mode="1")
    assert set(np.unique(decode_picture(encoded(one_bit), "x"))) == {0, 255}


def test_cmyk_and_palette_become_rgb():
    flat = Image.new("RGB", (16, 16), (200, 30, 60))
    cmyk = decode_picture(encoded(flat.convert("CMYK"), "JPEG", quality=95), "x")
    assert np.abs(cmyk.astype(int) - (200, 30, 60)).max() <= 8
    palette = decode_picture(encoded(flat.quantize(4)), "x")
    assert (palette == (200, 30, 60)).all()


def test_what_is_transparent_shows_white_not_the_hidden_colour():
    pixels = np.zeros((4, 4, 4), dtype=np.uint8)
    pixels[..., 0] = 255
    pixels[2:, :, 3] = 255  # lower half opaque red, upper half hidden red
    decoded = decode_picture(encoded(Image.fromarray(pixels)), "x")
    assert (decoded[:2] == 255).all()
    assert (decoded[2:] == (255, 0, 0)).all()
    keyed = Image.new("RGB", (4, 4), (1, 2, 3))
    assert (decode_picture(encoded(keyed, transparency=(1, 2, 3)), "x") == 255).all()
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([9, 9, 9])
    assert (decode_picture(encoded(palette, transparency=0), "x") == 255).all()


def test_exif_rotation_is_applied():
    picture = Image.fromarray(ramp(4, 6))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 270 degrees
    decoded = decode_picture(encoded(picture, "PNG", exif=exif), "x")
    assert decoded.shape == (6, 4, 3)
    assert (decoded == np.rot90(ramp(4, 6), -1)).all()


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_picture(gif, "x") == (255, 0, 0)).all()


def test_size_keeps_the_aspect_and_cuts_the_middle():
    pixels = np.zeros((10, 30, 3), dtype=np.uint8)
    pixels[:, 10:20] = 255
    decoded = decode_picture(encoded(Image.fromarray(pixels)), "x", size=10)
    assert decoded.shape == (10, 10, 3)
    assert (decoded == 255).all()
    assert decode_picture(encoded(Image.fromarray(pixels)), "x", size=4).shape == (4, 4, 3)


GOOD = encoded(Image.fromarray(ramp(40, 40)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"only text", "x is no picture that can be read"),
        (b"", r"x is empty \(0 bytes\)"),
        (GOOD[: len(GOOD) // 2], "x cannot be decoded as a picture"),
        (GOOD[:30], "x cannot be decoded|x is no picture"),
        (encoded(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF"), "floating-point"),
        (encoded(Image.fromarray(np.full((4, 4), 99999, np.int32)), "TIFF"), "32-bit grey"),
    ],
)
def test_unreadable_pictures_are_input_errors(content, message):
    with pytest.raises(InputError, match=message):
        decode_picture(content, "x")


@pytest.mark.parametrize("size", [(8001, 8000), (10_000, 10_000), (20_000, 20_000)])
def test_bombs_are_refused_before_decoding(size):
    with bomb_warnings_are_errors(), pytest.raises(DecompressionBombError, match="64 million"):
        decode_picture(png_header(*size), "x")


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_pixels_or_an_input_error(at, value):
    content = bytearray(GOOD)
    content[at] = value
    try:
        assert decode_picture(bytes(content), "x").dtype == np.uint8
    except InputError as error:
        assert error.message.startswith("x ")


# folders


def test_class_folders(folder):
    data = load(folder, layout="image-folder")
    assert data.class_names == ("maple tree", "ray")
    assert data.images.shape == (12, 6, 6, 3)
    assert data.images.flags.c_contiguous
    for name, label, pixels in zip(data.ids, data.labels, data.images, strict=True):
        level = 20 * int(name.split("/")[1][0]) + int(label)
        assert (pixels == ramp(level=level)).all()
    assert np.bincount(data.roles).tolist() == [8, 2, 2]


def test_train_and_test_folders_are_kept_and_validation_is_carved(tmp_path):
    data = load(split_folder(tmp_path, {"train": 10, "test": 3}), layout="image-folder")
    top = np.array([name.split("/")[0] for name in data.ids])
    assert ((data.roles == TEST) == (top == "test")).all()
    assert [(data.roles == role).sum() for role in (FIT, SELECT)] == [18, 2]
    assert data.class_names == ("a", "b")


def test_a_validation_folder_is_the_selection(tmp_path):
    root = split_folder(tmp_path, {"train": 4, "validation": 2, "test": 3})
    data = load(root, layout="image-folder")
    top = np.array([name.split("/")[0] for name in data.ids])
    assert ((data.roles == SELECT) == (top == "validation")).all()


def test_a_class_that_training_lacks_is_refused(tmp_path):
    root = split_folder(tmp_path, {"train": 4, "test": 2})
    split_folder(root, {"test": 1}, ("typo",))
    with pytest.raises(InputError, match="class typo is in the test split but not in the training"):
        load(root, layout="image-folder")


def test_limit_is_a_class_and_split(tmp_path):
    root = split_folder(tmp_path, {"train": 10, "val": 5, "test": 3})
    data = load(root, layout="image-folder", limit=2)
    assert np.bincount(data.roles * 2 + data.labels).tolist() == [2] * 6


def test_different_sizes_need_an_image_size(folder):
    Image.fromarray(ramp(6, 9)).save(folder / "ray" / "9.png")
    with pytest.raises(InputError, match=r"ray/9.png is 9 × 6 pixels, but .*0.png is 6 × 6"):
        load(folder, layout="image-folder")
    assert load(folder, layout="image-folder", image_size=8).images.shape == (13, 8, 8, 3)


def test_unreadable_pictures_are_refused_or_listed_and_rows_stay_aligned(folder):
    (folder / "maple_tree" / "0.png").write_text("text")  # the very first
    (folder / "ray" / "3.png").write_bytes(GOOD[:60])
    with pytest.raises(InputError, match=r"maple_tree/0.png is no picture"):
        load(folder, layout="image-folder")
    notes = Notes()
    data = load(folder, notes, on_error="skip", layout="image-folder")
    assert sorted(data.skipped) == ["maple_tree/0.png", "ray/3.png"]
    assert "2 of 12 files" in notes.lines[0]
    for name, label, pixels in zip(data.ids, data.labels, data.images, strict=True):
        assert (pixels == ramp(level=20 * int(name.split("/")[1][0]) + int(label))).all()


def test_a_bomb_is_refused_even_when_skipping(folder):
    (folder / "ray" / "bomb.png").write_bytes(png_header(10_000, 10_000))
    with pytest.raises(InputError, match=r"ray/bomb.png claims"):
        load(folder, on_error="skip", layout="image-folder")


def test_all_unreadable(folder):
    for path in folder.glob("*/*.png"):
        path.write_text("text")
    with pytest.raises(InputError, match=r"12 of 12 files .* more than half"):
        load(folder, on_error="skip", layout="image-folder")


def test_more_pictures_than_memory_is_a_resource_error():
    with pytest.raises(ResourceError, match="GiB"):
        image_decode.allocate(10**9, 1000, 1000)


def test_folds_and_subsets_are_refused_where_there_are_none(folder):
    with pytest.raises(ConfigError, match="has no folds"):
        load(folder, layout="image-folder", fold=1)
    with pytest.raises(ConfigError, match="has no subset 'x'"):
        load(folder, layout="image-folder", subset="x")


def test_two_names_of_the_same_words_are_refused(folder):
    (folder / "maple tree").mkdir()
    Image.fromarray(ramp()).save(folder / "maple tree" / "0.png")
    with pytest.raises(InputError, match="both called 'maple tree'"):
        load(folder, layout="image-folder")


def test_digits_are_scaled_rgb_with_word_names():
    data = load(None, layout="digits")
    assert data.images.shape == (1797, 32, 32, 3)
    assert data.class_names[:3] == ("zero", "one", "two")
    assert np.bincount(data.roles).tolist() == [1457, 161, 179]
    from sklearn.datasets import load_digits

    table = load_digits()
    raw = load(None, layout="digits", image_size=8)
    assert (raw.labels == table.target).all()
    assert (raw.images[..., 1] == table.images * 255 // 16).all()
    assert len(load(None, layout="digits", limit=3).ids) == 90
