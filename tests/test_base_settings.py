from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import ValidationError

from rrnet_cli.base_settings import Settings


class Part(Settings):
    later: ClassVar = frozenset({"extra"})

    kept: int = 1
    extra: int | None = None


class Whole(Settings):
    later: ClassVar = frozenset({"switch", "rate"})
    retired: ClassVar = {"depth": 0}

    part: Part = Part()
    switch: bool = False
    rate: float = 0.5


def test_later_fields_are_recorded_only_where_they_are_used() -> None:
    assert Whole().recorded() == {"part": {"kept": 1}, "depth": 0}
    used = Whole(part=Part(extra=0), switch=True, rate=0.25)
    assert used.recorded() == {
        "part": {"kept": 1, "extra": 0},
        "switch": True,
        "rate": 0.25,
        "depth": 0,
    }


def test_what_is_recorded_reads_back_as_it_was() -> None:
    for settings in (Whole(), Whole(part=Part(extra=3)), Whole(switch=True)):
        assert Whole.from_record(settings.recorded()) == settings


def test_a_field_that_is_gone_reads_where_it_was_not_used_and_nowhere_else() -> None:
    assert Whole.from_record({"depth": 0, "rate": 0.25}) == Whole(rate=0.25)
    with pytest.raises(ValidationError, match="depth"):
        Whole.from_record({"depth": 2})
    with pytest.raises(ValidationError, match="depth"):  # no user may still set it
        Whole.model_validate({"depth": 0})
