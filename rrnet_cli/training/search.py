"""Which settings a sweep tries: a full grid, or draws at random from ranges and grids.

A value is a text as one would give it to ``--set``; whoever resolves settings reads it, so a sweep
accepts what a single training accepts and refuses the rest in the same words.
"""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Sequence
from itertools import product
from random import Random

from rrnet_cli.errors import ConfigError
from rrnet_cli.settings import RangeSettings, SweepSettings, TrainSettings

SEED = "seed"
"""The key that is never drawn or chosen: every setting is tried with every seed."""

DIGITS = 4
"""Significant digits of a drawn number: enough to tell trials apart, few enough to type."""

_RANGE = re.compile(r"(?P<low>.+?)\.\.(?P<high>.+?)(?P<log>:log)?")


def parse(
    grid: Sequence[str], ranges: Sequence[str], trials: int | None, seed: int
) -> SweepSettings:
    """Read the words of ``--grid`` and ``--range``.

    Args:
        grid: ``key=value,value``; the parts of a value that is a list are joined by ``+``.
        ranges: ``key=low..high`` or ``key=low..high:log``.
        trials: How many settings to draw; None for the whole grid.
        seed: Of the draws.

    Raises:
        ConfigError: A word that says no such thing, a key given twice, nothing to vary, or a range
            without a number of trials.
    """
    choices: dict[str, tuple[str, ...]] = {}
    bounds: dict[str, RangeSettings] = {}
    for word in grid:
        key, text = _split(word, "--grid", "lr=0.001,0.003", {*choices})
        choices[key] = _values(key, text)
    for word in ranges:
        key, text = _split(word, "--range", "lr=1e-4..1e-2:log", {*choices, *bounds})
        bounds[key] = _range(key, text)
    if not choices and not bounds:
        raise ConfigError("there is nothing to vary", "give --grid lr=0.001,0.003 or --range")
    if bounds and trials is None:
        raise ConfigError(
            f"a range has no end of values: {', '.join(bounds)}", "say how many by --trials N"
        )
    return SweepSettings(grid=choices, ranges=bounds, trials=trials, seed=seed)


def settings_to_try(sweep: SweepSettings) -> list[dict[str, str]]:
    """The settings without their seeds, in the order in which they are tried.

    The grid runs through its last key first. A draw takes each key from a stream of its own, so
    more trials begin with those of fewer, and one more key leaves the others' values as they were.

    Returns:
        Key to text; draws that came twice are there once, so there may be fewer than `trials`.
    """
    grid = {key: values for key, values in sweep.grid.items() if key != SEED}
    if sweep.trials is None:
        return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    streams = {key: Random(f"{sweep.seed} {key}") for key in (*grid, *sweep.ranges)}
    drawn = [
        {
            key: stream.choice(grid[key]) if key in grid else _draw(sweep.ranges[key], stream)
            for key, stream in streams.items()
        }
        for _ in range(sweep.trials)
    ]
    return list({tuple(setting.items()): setting for setting in drawn}.values())


def trials(sweep: SweepSettings) -> list[tuple[str, ...]]:
    """The assignments of each trial: every setting with every seed.

    Returns:
        One tuple of ``key=value`` a trial; without seeds in the grid no trial names one.
    """
    seeds: list[tuple[str, ...]] = [(f"{SEED}={seed}",) for seed in sweep.grid.get(SEED, ())]
    return [
        (*(f"{key}={text}" for key, text in setting.items()), *seed)
        for setting in settings_to_try(sweep)
        for seed in seeds or [()]
    ]


def as_text(value: object) -> str:
    """A value of a setting as ``--set`` and ``--grid`` read it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "+".join(map(str, value)) or "none"
    return repr(value) if isinstance(value, float) else str(value)


def _split(word: str, option: str, example: str, taken: set[str]) -> tuple[str, str]:
    key, equals, text = (part.strip() for part in word.partition("="))
    if not key or not equals or not text:
        raise ConfigError(
            f"{option} {word}: expected KEY=VALUES", f"for example {option} {example}"
        )
    if key in taken:
        raise ConfigError(f"{key} is varied twice", "give all its values in one option")
    return key, text


def _values(key: str, text: str) -> tuple[str, ...]:
    values = tuple(part.strip() for part in text.split(","))
    if "" in values:
        raise ConfigError(f"--grid {key}={text}: a value is empty", "`null` stands for none")
    if len(set(values)) < len(values):
        raise ConfigError(f"--grid {key}={text}: a value is given twice", "give each once")
    return values


def _range(key: str, text: str) -> RangeSettings:
    match = _RANGE.fullmatch(text)
    try:
        low, high = (float(match[end]) for end in ("low", "high")) if match else (math.nan,) * 2
    except ValueError:
        low = high = math.nan
    said = f"--range {key}={text}"
    if match is None or not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(
            f"{said}: expected two numbers, LOW..HIGH", "add :log to draw the exponent"
        )
    if low >= high:
        raise ConfigError(f"{said}: {low:g} is not below {high:g}", "give the lower end first")
    log = match["log"] is not None
    if log and low <= 0:
        raise ConfigError(f"{said}: a logarithm needs ends above 0", "leave :log out")
    if key == SEED:
        raise ConfigError("seeds are not drawn: they would be chosen", "give --grid seed=0,1,2")
    whole = _is_whole(key)
    if whole and not (low.is_integer() and high.is_integer()):
        raise ConfigError(f"{said}: {key} takes whole numbers", "give whole ends")
    return RangeSettings(low=low, high=high, log=log, whole=whole)


def _is_whole(key: str) -> bool:
    """Whether a setting is an integer; an unknown key is for `resolve` to refuse.

    Raises:
        ConfigError: It is no number.
    """
    if key not in TrainSettings.model_fields:
        return False
    annotation = TrainSettings.model_fields[key].annotation
    if _accepts(annotation, float):
        return False
    if _accepts(annotation, int):
        return True
    raise ConfigError(f"{key} is no number, so it has no range", f"give --grid {key}=… instead")


def _accepts(annotation: object, kind: type) -> bool:
    return annotation is kind or any(_accepts(part, kind) for part in typing.get_args(annotation))


def _draw(bounds: RangeSettings, stream: Random) -> str:
    """One value of a range; every whole number of a uniform one is equally likely."""
    margin = 0.5 if bounds.whole else 0.0
    low, high = bounds.low - margin, bounds.high + margin
    if bounds.log:
        value = math.exp(stream.uniform(math.log(low), math.log(high)))
    else:
        value = stream.uniform(low, high)
    if bounds.whole:
        return str(int(min(max(round(value), bounds.low), bounds.high)))
    return as_text(min(max(float(f"{value:.{DIGITS}g}"), bounds.low), bounds.high))
