"""Log-mel statistics: their meaning, against a direct computation, and odd clips."""

from __future__ import annotations

import numpy as np
import pytest

from rrnet_cli.features.audio import DIM, HOP, NUM_MELS, WINDOW, logmel_statistics

SAMPLE_RATE = 22_050


def tone(frequency, seconds=0.5, level=0.3):
    time = np.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE
    return (np.sin(2 * np.pi * frequency * time) * level * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    return (rng.normal(size=6000) * 3000).astype(np.int16)


def test_shape_and_type(noise):
    table = logmel_statistics([noise, tone(440)], SAMPLE_RATE)
    assert table.shape == (2, DIM) == (2, 420)
    assert table.dtype == np.float32
    assert np.isfinite(table).all()


def test_logmel_means_against_librosas_own_pipeline(noise):
    import librosa

    expected = librosa.power_to_db(
        librosa.feature.melspectrogram(
            y=noise / 32768, sr=SAMPLE_RATE, n_fft=WINDOW, hop_length=HOP, n_mels=NUM_MELS
        ),
        top_db=80.0,
    )
    row = logmel_statistics([noise], SAMPLE_RATE)[0]
    np.testing.assert_allclose(row[:NUM_MELS], expected.mean(1), rtol=1e-3, atol=1e-2)
    quarter = DIM // 4
    np.testing.assert_allclose(
        row[quarter : quarter + NUM_MELS], expected.std(1), rtol=1e-2, atol=1e-2
    )
    tenth = np.percentile(expected, 10, axis=1)
    np.testing.assert_allclose(
        row[2 * quarter : 2 * quarter + NUM_MELS], tenth, rtol=1e-2, atol=1e-2
    )


def test_the_loudest_band_follows_the_pitch():
    table = logmel_statistics([tone(f) for f in (200, 1000, 4000)], SAMPLE_RATE)
    loudest = table[:, :NUM_MELS].argmax(1)
    assert loudest[0] < loudest[1] < loudest[2]


def test_zero_crossings_count_the_pitch():
    crossings = logmel_statistics([tone(1000)], SAMPLE_RATE)[0][DIM // 4 - 1]
    assert crossings == pytest.approx(2 * 1000 / SAMPLE_RATE, rel=0.1)


def test_a_clip_does_not_depend_on_its_company(noise):
    together = logmel_statistics([tone(300), noise, tone(2000)], SAMPLE_RATE)
    np.testing.assert_array_equal(together[1], logmel_statistics([noise], SAMPLE_RATE)[0])


@pytest.mark.parametrize("samples", [1, 2, 100, WINDOW - 1, WINDOW, WINDOW + 1])
def test_short_clips(samples):
    clip = np.full(samples, 1000, np.int16)
    assert np.isfinite(logmel_statistics([clip], SAMPLE_RATE)).all()


def test_extreme_levels_are_finite():
    clips = [np.full(5000, -32768, np.int16), np.array([1] + [0] * 4999, np.int16)]
    assert np.isfinite(logmel_statistics(clips, SAMPLE_RATE)).all()


def test_progress_counts_clips(noise):
    from contextlib import contextmanager

    seen = []

    class Reporter:
        @contextmanager
        def task(self, description, total, unit="it", done=0):
            seen.append((total, unit))
            yield self

        def advance(self, steps=1, status=""):
            seen.append(steps)

        def note(self, message): ...

    logmel_statistics([noise] * 3, SAMPLE_RATE, reporter=Reporter())
    assert seen == [(3, "clip"), 1, 1, 1]
