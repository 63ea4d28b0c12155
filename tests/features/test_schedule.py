"""Learning rates of the published recipes."""

from __future__ import annotations

import pytest

from rrnet_cli.features.schedule import learning_rate
from tests.features.tiny import tiny_settings


def test_the_step_schedule_falls_in_the_recipes_epochs() -> None:
    """x0.1 from epoch 301 and from 451 of 600, counted from 1."""
    settings = tiny_settings(schedule="step", epochs=600, lr=0.01)
    rates = {epoch: learning_rate(settings, epoch - 1) for epoch in (1, 300, 301, 450, 451, 600)}
    wanted = {1: 0.01, 300: 0.01, 301: 0.001, 450: 0.001, 451: 0.0001, 600: 0.0001}
    assert rates == pytest.approx(wanted)


def test_the_warm_up_schedule_is_that_of_envnet_v2_on_esc50() -> None:
    """0.01 in the first 10 epochs of 1,000, then 0.1, x0.1 from epochs 301, 601 and 901."""
    settings = tiny_settings(schedule="warmup", epochs=1000, lr=0.1)
    epochs = (1, 10, 11, 300, 301, 600, 601, 900, 901, 1000)
    rates = [learning_rate(settings, epoch - 1) for epoch in epochs]
    assert rates == pytest.approx([0.01, 0.01, 0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4])


def test_a_short_training_is_never_faster_for_its_warm_up() -> None:
    settings = tiny_settings(schedule="warmup", epochs=10, lr=0.1)
    rates = [learning_rate(settings, epoch) for epoch in range(10)]
    assert rates == pytest.approx([0.01] * 6 + [1e-3] * 3 + [1e-4])
