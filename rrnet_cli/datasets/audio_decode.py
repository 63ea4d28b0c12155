"""One sound file to one clip: mono, resampled, 16-bit, silent head and tail cut (Sec. IV-A1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import InputError

AUDIO_SUFFIXES = (
    ".wav", ".ogg", ".oga", ".opus", ".flac", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64",
)  # fmt: skip
"""What libsndfile decodes everywhere."""

MAX_SECONDS = 3600.0
MAX_CHANNELS = 64
_BLOCK = 1 << 20
_FULL_SCALE = 32768.0


def decode_clip(path: Path, sample_rate: int, name: str | None = None) -> NDArray[np.int16]:
    """Decode one file.

    The steps follow EnvNet's preparation: mean of the channels, resampling, quantisation to 16 bit,
    and only then the cut of exact-zero samples at both ends (a decoded Ogg is float and its silence
    is not exactly zero before).

    Args:
        path: A file in any format of libsndfile.
        sample_rate: Of the result, in Hz.
        name: How messages call the file; its file name when left out.

    Returns:
        (num_samples,) int16, at least one sample.

    Raises:
        InputError: Unreadable, truncated, longer than an hour, with values that are no numbers,
            or with nothing but silence.
    """
    name = path.name if name is None else name
    mono, rate = _read_mono(path, name)
    clip = trim_zeros(quantise(resample(mono, rate, sample_rate)))
    if not len(clip):
        what = "has no samples" if not len(mono) else "is silent from end to end"
        raise InputError(f"{name} {what}", "remove the file, or leave it out: --on-error skip")
    return clip


def _read_mono(path: Path, name: str) -> tuple[NDArray[np.float32], int]:
    """Read in blocks, so that channels never stand in memory beside each other in full."""
    import soundfile

    _check_complete(path, name)
    blocks: list[NDArray[np.float32]] = []
    try:
        with soundfile.SoundFile(path) as file:
            rate, frames = int(file.samplerate), int(file.frames)
            if rate < 1 or not 1 <= file.channels <= MAX_CHANNELS:
                raise InputError(f"{name} claims {rate} Hz and {file.channels} channels")
            _check_length(frames, rate, name)
            num_read = 0
            while len(block := file.read(_BLOCK // file.channels + 1, "float32", always_2d=True)):
                num_read += len(block)
                _check_length(num_read, rate, name)  # a header need not tell the truth
                blocks.append(block.mean(axis=1, dtype=np.float32))
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        reason = str(error).split(": ", 1)[-1].strip().rstrip(".") or type(error).__name__
        raise InputError(f"{name} cannot be decoded as sound: {reason}") from error
    mono = np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
    if not np.isfinite(mono).all():
        at = int(np.flatnonzero(~np.isfinite(mono))[0])
        raise InputError(f"{name} holds NaN or infinity, first at sample {at}")
    return mono, rate


def _check_length(frames: int, rate: int, name: str) -> None:
    if frames > MAX_SECONDS * rate:
        hours = frames / rate / 3600
        raise InputError(
            f"{name} is {hours:.1f} hours long, more than one hour", "cut it into clips"
        )


def _check_complete(path: Path, name: str) -> None:
    """Refuse files that end early: libsndfile gives their first part without a word.

    Looks at the length in a RIFF header, and at whether the last page of an Ogg file is whole.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(12)
            file.seek(max(0, size - 70_000))  # an Ogg page has at most 65,307 bytes
            tail = file.read() if head.startswith(b"OggS") else b""
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from error
    if not size:
        raise InputError(f"{name} is empty (0 bytes)")
    if head.startswith(b"RIFF") and len(head) == 12:
        promised = int.from_bytes(head[4:8], "little")
        # Writers that could not go back leave 0 or the maximum: no promise.
        if 0 < promised < 0x7FFF_0000 and promised + 8 > size + 1:
            raise InputError(f"{name} is truncated: {size:,} of {promised + 8:,} bytes")
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if page:
        num_segments = page[26] if len(page) > 26 else 255
        table = page[27 : 27 + num_segments]
        if len(table) < num_segments or len(page) < 27 + num_segments + sum(table):
            raise InputError(f"{name} is truncated: its last Ogg page is not whole")


def warm_up() -> None:
    """Import the decoders on this thread: librosa's lazy imports are not made for several."""
    import librosa
    import soundfile

    _ = (librosa.resample, soundfile.SoundFile)


def resample(mono: NDArray[np.float32], rate: int, sample_rate: int) -> NDArray[np.float32]:
    """Band-limited resampling by soxr, or the input where the rates agree.

    Args:
        mono: (num_samples,) float32.
        rate: Its rate in Hz.
        sample_rate: The rate wanted.

    Returns:
        (ceil(num_samples · sample_rate / rate),) float32.
    """
    if rate == sample_rate or not len(mono):
        return mono
    import librosa

    resampled: NDArray[np.float32] = librosa.resample(
        mono, orig_sr=rate, target_sr=sample_rate, res_type="soxr_hq"
    )
    return resampled


def quantise(mono: NDArray[np.float32]) -> NDArray[np.int16]:
    """Full scale ±1 to 16 bit, rounded to nearest and clipped."""
    scaled = np.rint(mono.astype(np.float64) * _FULL_SCALE)
    quantised: NDArray[np.int16] = scaled.clip(-_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    return quantised


def trim_zeros(clip: NDArray[np.int16]) -> NDArray[np.int16]:
    """Cut what is before the first and after the last non-zero sample; inner silence stays."""
    sounding = np.flatnonzero(clip)
    if not len(sounding):
        return clip[:0]
    return np.ascontiguousarray(clip[sounding[0] : sounding[-1] + 1])
