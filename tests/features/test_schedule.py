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
