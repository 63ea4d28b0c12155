"""Statistics of log-mel spectrogram and MFCC: the sound baseline of seconds, not hours."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.progress import Reporter, SilentReporter

WINDOW, HOP = 2048, 512
NUM_MELS, NUM_MFCC = 64, 20
FLOOR_DB = 80.0
DIM = 4 * (NUM_MELS + 2 * NUM_MFCC + 1)
"""Width of the result: 420."""

THREADS = 2


def logmel_statistics(
    clips: Sequence[NDArray[np.int16]],
    sample_rate: int,
    *,
    reporter: Reporter | None = None,
) -> NDArray[np.float32]:
    """Describe each clip by how its spectrum is distributed over time.

    Per frame: 64 log-mel bands in decibels (floor 80 dB under the clip's loudest), 20 MFCC of
    them, the MFCC's slopes, and the rate of zero crossings. Per clip: mean, standard deviation,
    10th and 90th percentile of each over the frames.

    Args:
        clips: int16 samples, none empty; a clip shorter than one window (93 ms at 22,050 Hz) is
            padded with zeros.
        sample_rate: In Hz, of all clips.
        reporter: Progress.

    Returns:
        (num_clips, 420) float32: means of all, then deviations, then 10th, then 90th percentiles.
    """
    import librosa

    bands = librosa.filters.mel(sr=sample_rate, n_fft=WINDOW, n_mels=NUM_MELS)
    table = np.empty((len(clips), DIM), dtype=np.float32)

    def describe(clip: NDArray[np.int16]) -> NDArray[np.float32]:
        return _statistics(_frames(clip, bands))

    with (
        (reporter or SilentReporter()).task("log-mel statistics", len(clips), "clip") as task,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for row, statistics in enumerate(pool.map(describe, clips)):
            table[row] = statistics
            task.advance()
    return table


def _frames(clip: NDArray[np.int16], bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """(105, num_frames): log-mel, MFCC, slopes of MFCC, zero crossings."""
    import librosa

    samples = np.zeros(max(len(clip), WINDOW), dtype=np.float32)
    samples[: len(clip)] = clip
    samples /= 32768
    power = np.abs(librosa.stft(samples, n_fft=WINDOW, hop_length=HOP)) ** 2
    decibels = librosa.power_to_db(bands @ power, top_db=FLOOR_DB)
    mfcc = librosa.feature.mfcc(S=decibels, n_mfcc=NUM_MFCC)
    # "nearest": the default refuses clips of fewer than 9 frames.
    slopes = librosa.feature.delta(mfcc, mode="nearest")
    crossings = librosa.feature.zero_crossing_rate(samples, frame_length=WINDOW, hop_length=HOP)
    frames: NDArray[np.float32] = np.concatenate([decibels, mfcc, slopes, crossings])
    return frames.astype(np.float32, copy=False)


def _statistics(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """(420,) of (105, num_frames)."""
    low, high = np.percentile(frames, (10, 90), axis=1)
    mean, deviation = frames.mean(axis=1), frames.std(axis=1)
    statistics: NDArray[np.float32] = np.concatenate([mean, deviation, low, high])
    return statistics.astype(np.float32, copy=False)
