"""Settings of a training from options, and options from settings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rrnet_cli.cli.train_settings import train_options, train_settings
from rrnet_cli.errors import ConfigError


def graph(recipe: str | None) -> Any:
    return SimpleNamespace(manifest=SimpleNamespace(summary={"recipe": recipe}))


@pytest.mark.parametrize("recipe", [None, "digits", "filmtrust"])
@pytest.mark.parametrize("preset", ["paper", "plus"])
@pytest.mark.parametrize(
    "sets",
    [
        [],
        ["units=inter+intra+inter", "lr=3e-05", "patience=null", "prior=residual"],
        ["clip_norm=null", "attributes=none", "mask_rate=0.25", "hidden=3", "seed=7"],
        ["batch_size=64", "fanout=10+-1"],
        ["batch_size=64", "fanout=5"],
    ],
)
def test_the_options_give_the_settings_again(
    recipe: str | None, preset: str, sets: list[str]
) -> None:
    settings = train_settings(graph(recipe), flags={"preset": preset}, sets=sets)
    options = list(train_options(settings, graph(recipe)))
    assert options[:2] == ["--preset", preset] and set(options[2::2]) <= {"--set"}
    again = train_settings(
        graph(recipe), flags={"preset": preset, "seed": settings.seed}, sets=options[3::2]
    )
    assert again == settings


def test_options_name_only_what_differs() -> None:
    settings = train_settings(graph("digits"), flags={"preset": "plus"}, trial=["hidden=8"])
    assert train_options(settings, graph("digits")) == ("--preset", "plus", "--set", "hidden=8")


def test_a_trial_comes_after_the_preset_and_other_assignments() -> None:
    given = {"sets": ["lr=0.5", "hidden=3"], "trial": ["lr=0.25", "preset=plus"]}
    settings = train_settings(graph("digits"), **given)
    assert (settings.lr, settings.hidden, settings.optimizer) == (0.25, 3, "adamw")


def test_a_list_may_be_joined_by_plus_signs() -> None:
    for joined in ("inter,intra", "inter+intra", "inter + intra"):
        assert train_settings(graph(None), sets=[f"units={joined}"]).units == ("inter", "intra")


def test_what_is_wrong_in_a_trial_is_said_to_be_of_the_sweep() -> None:
    with pytest.raises(ConfigError) as caught:
        train_settings(graph(None), trial=["hiden=8", "lr=-1"])
    assert "unknown key `hiden` (the sweep); did you mean `hidden`?" in caught.value.message
    assert "lr: input should be greater than 0, got -1 (the sweep)" in caught.value.message


def test_sampled_training_is_in_the_record_only_where_it_is_used() -> None:
    assert {"batch_size", "fanout"}.isdisjoint(train_settings(graph(None)).recorded())
    settings = train_settings(graph(None), flags={"batch_size": 8, "fanout": "10,-1"})
    assert settings.recorded()["fanout"] == [10, -1] and settings.recorded()["batch_size"] == 8


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"fanout": "10,10"}, "fanout: batch_size and fanout go together"),
        ({"batch_size": 8}, "fanout: batch_size and fanout go together"),
        ({"batch_size": 8, "fanout": "10,0"}, "fanout: each hop draws at least one edge"),
        ({"batch_size": 0, "fanout": "10"}, "batch_size: input should be greater than 0"),
    ],
    ids=str,
)
def test_batches_and_hops_that_make_no_sense(flags: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        train_settings(graph(None), flags=flags)
    assert caught.value.message.startswith(said)
