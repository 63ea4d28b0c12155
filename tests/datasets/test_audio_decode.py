from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rrnet_cli.datasets import audio_decode
from rrnet_cli.datasets.audio_decode import decode_clip, quantise, resample, trim_zeros
from rrnet_cli.errors import InputError
from tests.datasets.helpers import RATE, sine


def test_sixteen_bit_wav_at_the_same_rate_comes_back_exactly(tmp_path):
    samples = np.array([0, 0, 5, -32768, 0, 32767, -1, 0], dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    assert decode_clip(tmp_path / "a.wav", RATE).tolist() == [5, -32768, 0, 32767, -1]


@settings(deadline=None)
@given(arrays(np.int16, st.integers(0, 40), elements=st.integers(-2, 2)))
def test_trim_is_the_obvious_loop(clip):
    slow = clip.tolist()
    while slow and slow[0] == 0:
        slow.pop(0)
    while slow and slow[-1] == 0:
        slow.pop()
    assert trim_zeros(clip).tolist() == slow


def test_quantising_comes_before_the_zero_test(tmp_path):
    quiet = np.full(100, 1e-6)  # not zero as a float, zero as 16 bit
    soundfile.write(
        tmp_path / "a.wav", np.concatenate((quiet, sine(50), quiet)), RATE, subtype="FLOAT"
    )
    assert len(decode_clip(tmp_path / "a.wav", RATE)) == 50


def test_quantise_rounds_and_clips():
    values = np.array([1.0, -1.0, 2.0, 1.6 / 32768, -1.4 / 32768], dtype=np.float32)
    assert quantise(values).tolist() == [32767, -32768, 32767, 2, -1]


def test_channels_are_averaged_also_over_block_borders(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_decode, "_BLOCK", 64)
    channels = np.random.default_rng(0).integers(1, 2000, (333, 8)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", channels, RATE)
    expected = np.rint(channels.astype(np.float64).mean(1))
    assert np.abs(decode_clip(tmp_path / "a.wav", RATE) - expected).max() <= 1


@pytest.mark.parametrize("rate", [11_025, 44_100, 7919])
def test_resampling_keeps_length_in_time_and_pitch(rate):
    clip = resample(sine(rate, rate).astype(np.float32), rate, RATE)
    assert len(clip) == RATE
    assert np.abs(np.fft.rfft(clip)).argmax() == 440


@pytest.mark.parametrize("suffix", ["ogg", "flac", "mp3"])
def test_compressed_formats_decode(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, sine(RATE), RATE)
    spectrum = np.abs(np.fft.rfft(decode_clip(path, RATE).astype(float), RATE))
    assert abs(int(spectrum.argmax()) - 440) <= 1


def test_one_sample_is_a_clip(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.5]), RATE)
    assert decode_clip(tmp_path / "a.wav", RATE).tolist() == [16384]


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    soundfile.write(folder / "good.wav", sine(), RATE)
    soundfile.write(folder / "good.ogg", sine(3 * RATE), RATE)
    soundfile.write(folder / "good.flac", sine(RATE), RATE)
    wav, ogg, flac = ((folder / f"good.{s}").read_bytes() for s in ("wav", "ogg", "flac"))
    contents = {
        "text.wav": (b"this is no sound at all, only text\n" * 9, "cannot be decoded as sound"),
        "zero.wav": (b"", r"is empty \(0 bytes\)"),
        "short.wav": (wav[: len(wav) // 2], "is truncated"),
        "header.wav": (wav[:20], "truncated"),
        "short.ogg": (ogg[: len(ogg) * 2 // 3], "truncated"),
        "short.flac": (flac[: len(flac) // 2], "cannot be decoded"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    clips = {
        "noframes.wav": (np.zeros(0), "has no samples"),
        "silent.wav": (np.zeros(500), "is silent from end to end"),
        "nan.wav": (np.array([0.1, np.nan, 0.2]), "NaN or infinity, first at sample 1"),
        "inf.wav": (np.array([0.1, 0.2, np.inf]), "NaN or infinity, first at sample 2"),
    }
    for name, (clip, _) in clips.items():
        soundfile.write(folder / name, clip, RATE, subtype="FLOAT")
    (folder / "folder.wav").mkdir()
    cases = {name: message for name, (_, message) in (contents | clips).items()}  # type: ignore[operator]
    cases["folder.wav"] = "cannot be read"
    return {name: (folder / name, message) for name, message in cases.items()}


def test_every_broken_file_is_refused_by_name(tmp_path):
    for name, (path, message) in broken_files(tmp_path).items():
        with pytest.raises(InputError, match=message) as caught:
            decode_clip(path, RATE)
        assert name in caught.value.message


def test_a_clip_over_an_hour_is_refused_before_it_fills_the_memory(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.full(3700, 0.1), 1)
    with pytest.raises(InputError, match=r"long.wav is 1.0 hours long"):
        decode_clip(tmp_path / "long.wav", RATE)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_a_clip_or_an_input_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.wav"
    for head in (b"", b"OggS", b"RIFF\x00\x01\x00\x00WAVEfmt "):
        path.write_bytes(head + content)
        try:
            assert len(decode_clip(path, RATE)) > 0
        except InputError as error:
            assert "fuzz.wav" in error.message
