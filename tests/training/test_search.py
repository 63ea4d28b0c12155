"""What a sweep tries: grids, draws, and the words that are refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrnet_cli.errors import ConfigError
from rrnet_cli.recipes import strict_yaml
from rrnet_cli.settings import TrainSettings
from rrnet_cli.training.search import as_text, parse, settings_to_try, trials

RANGES = ["lr=1e-4..1e-2:log", "mask_rate=0.1..0.5", "hidden=4..64:log"]
GRID = ["units=inter,intra+inter", "optimizer=sgd,adamw"]


def test_a_grid_is_the_product_with_the_last_key_fastest() -> None:
    space = parse(["hidden=8,16", "lr=0.1,0.2", "seed=0,1"], [], None, 0)
    assert trials(space) == [
        (f"hidden={hidden}", f"lr={lr}", f"seed={seed}")
        for hidden in (8, 16)
        for lr in (0.1, 0.2)
        for seed in (0, 1)
    ]


def test_seeds_alone_are_one_setting() -> None:
    assert trials(parse(["seed=3,4"], [], None, 0)) == [("seed=3",), ("seed=4",)]


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_draws_stay_within_their_ranges(seed: int, count: int) -> None:
    for setting in settings_to_try(parse(GRID, RANGES, count, seed)):
        assert 1e-4 <= float(setting["lr"]) <= 1e-2
        assert 0.1 <= float(setting["mask_rate"]) <= 0.5
        assert 4 <= int(setting["hidden"]) <= 64
        assert setting["units"] in ("inter", "intra+inter")
        assert setting["optimizer"] in ("sgd", "adamw")


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20))
def test_more_trials_begin_with_those_of_fewer(seed: int, few: int, more: int) -> None:
    short = settings_to_try(parse(GRID, RANGES, few, seed))
    long = settings_to_try(parse(GRID, RANGES, few + more, seed))
    assert long[: len(short)] == short


@given(st.integers(0, 2**32))
def test_another_key_and_another_order_leave_the_draws_of_a_key_alone(seed: int) -> None:
    def draws(ranges: list[str]) -> list[str]:
        tried = settings_to_try(parse([], ranges, 5, seed))
        # drawn alone, a rate that comes twice is tried once
        return list(dict.fromkeys(setting["lr"] for setting in tried))

    assert draws(RANGES[:1]) == draws(RANGES) == draws(RANGES[::-1])


def test_another_seed_draws_anew() -> None:
    draws = [settings_to_try(parse([], RANGES, 5, seed)) for seed in (0, 1)]
    assert draws[0] != draws[1]


def test_draws_that_come_twice_are_tried_once() -> None:
    settings = settings_to_try(parse(["hidden=8,16"], [], 50, 0))
    assert sorted(setting["hidden"] for setting in settings) == ["16", "8"]


def test_every_drawn_setting_gets_every_seed() -> None:
    words = trials(parse(["seed=0,1,2"], RANGES[:1], 4, 0))
    assert len(words) == 12
    assert [word[1] for word in words] == ["seed=0", "seed=1", "seed=2"] * 4
    assert len({word[0] for word in words}) == 4


def test_a_uniform_range_is_uniform_and_a_logarithmic_one_in_the_exponent() -> None:
    settings = settings_to_try(parse([], ["lr=1e-4..1:log", "mask_rate=0..1"], 4000, 0))
    middles = (("lr", 1e-2), ("mask_rate", 0.5))
    low_half = [sum(float(s[key]) < middle for s in settings) for key, middle in middles]
    deviation = math.sqrt(4000) / 2
    assert all(abs(count - 2000) < 4 * deviation for count in low_half)


def test_whole_numbers_are_equally_likely_to_the_ends() -> None:
    """Of one run each: draws are told apart by a second key."""
    settings = settings_to_try(parse([], ["hidden=1..4", "lr=0.1..1"], 3000, 0))
    counts = [sum(setting["hidden"] == str(h) for setting in settings) for h in (1, 2, 3, 4)]
    expected, deviation = len(settings) / 4, math.sqrt(len(settings) * 3) / 4
    assert all(abs(count - expected) < 4 * deviation for count in counts)


@pytest.mark.parametrize(
    ("grid", "ranges", "count", "message"),
    [
        ([], [], None, "nothing to vary"),
        (["lr"], [], None, "--grid lr: expected KEY=VALUES"),
        (["lr="], [], None, "expected KEY=VALUES"),
        (["lr=0.1,,0.2"], [], None, "a value is empty"),
        (["lr=0.1,0.1"], [], None, "a value is given twice"),
        (["lr=0.1", "lr=0.2"], [], None, "lr is varied twice"),
        (["lr=0.1"], ["lr=0.1..0.2"], 3, "lr is varied twice"),
        ([], ["lr=0.1..0.2"], None, "a range has no end of values: lr"),
        ([], ["lr=0.1"], 3, "expected two numbers"),
        ([], ["lr=0.1..x"], 3, "expected two numbers"),
        ([], ["lr=0.1..inf"], 3, "expected two numbers"),
        ([], ["lr=0.1..0.2:ln"], 3, "expected two numbers"),
        ([], ["lr=0.2..0.1"], 3, "0.2 is not below 0.1"),
        ([], ["mask_rate=0..0.5:log"], 3, "ends above 0"),
        ([], ["hidden=1..2.5"], 3, "hidden takes whole numbers"),
        ([], ["units=1..2"], 3, "units is no number"),
        ([], ["context=0..1"], 3, "context is no number"),
        ([], ["seed=0..9"], 3, "seeds are not drawn"),
    ],
)
def test_words_that_say_nothing_are_refused(
    grid: list[str], ranges: list[str], count: int | None, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(grid, ranges, count, 0)
    assert message in caught.value.message and caught.value.hint


@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**9), 10**9),
        st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_a_value_as_text_is_read_back_the_same(value: object) -> None:
    assert strict_yaml.parse(as_text(value), "here") == value


def test_a_stack_without_units_has_a_name() -> None:
    assert as_text(()) == "none"
    assert TrainSettings.model_validate({"units": as_text(())}).units == ()
