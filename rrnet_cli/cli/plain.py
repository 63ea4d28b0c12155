"""Plain text of results: aligned columns, nested keys, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def outline(title: str, values: Any, depth: int = 0) -> list[str]:
    """Lines of a title and its nested `key: value` pairs, indented by depth."""
    lines = [] if depth else ["", title]
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines.append(f"{'  ' * (depth + 1)}{key}")
            lines.extend(outline(title, value, depth + 1))
        else:
            lines.append(f"{'  ' * (depth + 1)}{key}: {value}")
    return lines


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns of text aligned to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )
    return "\n".join(lines)


def size(count: int) -> str:
    """A number of bytes with its unit."""
    if count < 1024:
        return f"{count} B"
    amount, units = count / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:.1f} {units[0]}"
