from __future__ import annotations

from typing import ClassVar

from rrnet_cli.base_settings import Settings


class Part(Settings):
    later: ClassVar = frozenset({"extra"})

    kept: int = 1
    extra: int | None = None


class Whole(Settings):
    later: ClassVar = frozenset({"switch", "rate"})

    part: Part = Part()
    switch: bool = False
    rate: float = 0.5


def test_later_fields_are_recorded_only_where_they_are_used() -> None:
    assert Whole().recorded() == {"part": {"kept": 1}}
    used = Whole(part=Part(extra=0), switch=True, rate=0.25)
    assert used.recorded() == {"part": {"kept": 1, "extra": 0}, "switch": True, "rate": 0.25}


def test_what_is_recorded_reads_back_as_it_was() -> None:
    for settings in (Whole(), Whole(part=Part(extra=3)), Whole(switch=True)):
        assert Whole.model_validate(settings.recorded()) == settings
