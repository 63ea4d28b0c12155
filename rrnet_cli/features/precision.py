"""Which device and which number format a network is trained in."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rrnet_cli.errors import ConfigError, ResourceError
from rrnet_cli.runtime import has_bfloat16

Precision = Literal["float32", "bfloat16"]

GAIN = 1.1
"""How much faster bfloat16 must be to be chosen: less is within the noise of the measurement."""

ROUNDS = 3
"""Timed steps in each precision, in turn; the fastest of each counts."""

WORTH_MEASURING = 100
"""Steps of a training that repay the eight of a measurement."""


def choose_device(name: str) -> torch.device:
    """Resolve ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: Not the name of a device.
        ResourceError: A GPU is asked for and torch finds none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"There is no device {name!r}.", "Choose auto, cpu or cuda.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ResourceError(
            f"The device {name!r} is not there: torch finds {torch.cuda.device_count()} GPUs.",
            "Use --device cpu, or a torch and a driver that see the GPU.",
        )
    return device


def choose_precision(
    wanted: str, model: nn.Module, batch: Callable[[], Tensor], steps: int
) -> Precision:
    """Resolve ``auto``: bfloat16 where this network gains from it on this device.

    Args:
        wanted: ``auto``, ``float32`` or ``bfloat16``; the latter two are obeyed.
        model: On the device where it is trained; neither its weights nor its statistics change.
        batch: Gives a batch of training; called only where a measurement is needed.
        steps: Of the whole training: a short one does not repay a measurement and is float32.
    """
    if wanted != "auto":
        return "bfloat16" if wanted == "bfloat16" else "float32"
    if next(model.parameters()).device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if steps < WORTH_MEASURING or not has_bfloat16():
        return "float32"
    step = probe(model, batch())
    return "bfloat16" if gain_of_bfloat16(step) >= GAIN else "float32"


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which a network computes in `precision`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def cast_under_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """What a function of our own is to compute on: of a processor's autocast, if it is on."""
    if not torch.is_autocast_cpu_enabled():
        return tensors
    kind = torch.get_autocast_cpu_dtype()
    return tuple(tensor.to(kind) for tensor in tensors)


def probe(model: nn.Module, batch: Tensor) -> Callable[[Precision], None]:
    """Forward and backward of a copy of `model` on `batch`, in the given precision."""
    copied = copy.deepcopy(model).train()
    target = torch.zeros(len(batch), dtype=torch.long, device=batch.device)

    def step(precision: Precision) -> None:
        copied.zero_grad(set_to_none=True)
        with torch.random.fork_rng(devices=[]), autocast(batch.device, precision):
            logits = copied(batch)
        functional.cross_entropy(logits.float(), target).backward()

    return step


def gain_of_bfloat16(
    step: Callable[[Precision], object], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of a float32 step over those of a bfloat16 step."""
    both: tuple[Precision, Precision] = ("float32", "bfloat16")
    seconds: dict[Precision, list[float]] = {precision: [] for precision in both}
    for _ in range(1 + ROUNDS):  # the first of each warms up
        for precision in both:
            start = clock()
            step(precision)
            seconds[precision].append(clock() - start)
    return min(seconds["float32"][1:]) / min(seconds["bfloat16"][1:])
