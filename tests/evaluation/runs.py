"""Small judged runs for the tests of this room."""

import numpy as np

from rrnet_cli.evaluation.classification import ClassRun
from rrnet_cli.evaluation.ratings import RatingRun


def class_run(seed=0, num=60, classes=4, gain=0.0, first=0, candidates=3):
    """A run whose RR-Net sees `gain` more of the true class than its baseline.

    The labels of an instance depend on its id alone, so runs with overlapping ids agree.
    """
    names = np.arange(first, first + num)
    labels = (names * 7919 % classes).astype(np.int64)
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num, classes))
    logits[np.arange(num), labels] += 1.0
    prior = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    mine = logits + rng.normal(size=logits.shape)
    mine[np.arange(num), labels] += gain
    scores = 1 / (1 + np.exp(-mine))
    outside = np.argsort(-prior, axis=1)[:, candidates:]
    np.put_along_axis(scores, outside, -np.inf, axis=1)
    ids = np.array([f"clip{name}" for name in names])
    return ClassRun.of(ids, labels, prior, scores, num_bins=5)


def rating_run(seed=0, num=80, gain=0.0, first=0):
    """A run of ratings; RR-Net's errors are (1 - gain) as wide as the prior's."""
    names = np.arange(first, first + num)
    rating = 1.0 + names * 7919 % 5
    rng = np.random.default_rng(seed)
    return RatingRun(
        np.array([f"u{name}\ti{name % 3}" for name in names]),
        rating,
        np.clip(rating + rng.normal(size=num), 1, 5),
        np.clip(rating + rng.normal(size=num) * (1 - gain), 1, 5),
        num_bins=5,
    )
