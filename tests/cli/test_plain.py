from __future__ import annotations

import pytest

from rrnet_cli.cli.plain import outline, size, table


def test_columns_are_as_wide_as_their_widest_cell_and_end_without_blanks() -> None:
    assert table(("a", "long head"), [("wide cell", "b"), ("c", "")]) == (
        "a          long head\nwide cell  b\nc"
    )


def test_nested_keys_are_indented() -> None:
    values = {"lr": 0.1, "data": {"fold": 1, "none": {}}}
    assert outline("params", values) == [
        "",
        "params",
        "  lr: 0.1",
        "  data",
        "    fold: 1",
        "    none: {}",
    ]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"),
     (2**52, "4096.0 TiB")],
)  # fmt: skip
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
