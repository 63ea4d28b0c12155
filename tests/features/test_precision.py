"""Choice of device and number format."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rrnet_cli.errors import ConfigError, ResourceError
from rrnet_cli.features import precision
from rrnet_cli.features.precision import (
    GAIN,
    WORTH_MEASURING,
    choose_device,
    choose_precision,
    gain_of_bfloat16,
    probe,
)
from tests.features.tiny import tiny_images, tiny_net

CPU = torch.device("cpu")


def no_batch() -> torch.Tensor:
    return pytest.fail("nothing was to be measured")


def batch() -> torch.Tensor:
    inputs, _, _ = tiny_images()
    return inputs.test_batch(np.arange(8))


@pytest.mark.parametrize(
    ("gain", "expected"), [(GAIN + 0.01, "bfloat16"), (GAIN - 0.01, "float32")]
)
def test_auto_takes_what_is_faster(
    monkeypatch: pytest.MonkeyPatch, gain: float, expected: str
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    monkeypatch.setattr(precision, "gain_of_bfloat16", lambda step: gain)
    assert choose_precision("auto", tiny_net(), batch, WORTH_MEASURING) == expected


@pytest.mark.parametrize(("capable", "steps"), [(True, WORTH_MEASURING - 1), (False, 10**6)])
def test_auto_does_not_measure_in_vain(
    monkeypatch: pytest.MonkeyPatch, capable: bool, steps: int
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda: capable)
    assert choose_precision("auto", tiny_net(), no_batch, steps) == "float32"


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_a_wish_is_obeyed(wanted: str) -> None:
    assert choose_precision(wanted, tiny_net(), no_batch, 10**6) == wanted


def test_the_gain_is_of_the_fastest_steps_after_a_warm_up() -> None:
    seconds = {"float32": iter([90, 4, 5, 6]), "bfloat16": iter([0.1, 9, 2, 3])}
    now = 0.0

    def step(which: str) -> None:
        nonlocal now
        now += next(seconds[which])

    assert gain_of_bfloat16(step, clock=lambda: now) == pytest.approx(4 / 2)


def test_probing_changes_neither_the_network_nor_the_generator() -> None:
    net = tiny_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    step = probe(net, batch())
    for which in ("float32", "bfloat16"):
        step(which)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in net.parameters())


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto") == CPU
    assert choose_device("cpu") == CPU
    with pytest.raises(ResourceError, match="finds 0 GPUs"):
        choose_device("cuda")
    with pytest.raises(ConfigError, match="no device 'gpu'"):
        choose_device("gpu")
