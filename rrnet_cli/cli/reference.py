"""The command reference in docs/cli.md, written from the commands themselves.

``python -m rrnet_cli.cli.reference docs/cli.md`` (`make docs`) renews the part between the markers;
a test fails when it is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from typer.main import get_command

from rrnet_cli.cli.app import app
from rrnet_cli.cli.lazy import GLOBAL_PANEL

BEGIN, END = "<!-- commands: begin (written by `make docs`) -->", "<!-- commands: end -->"


def commands() -> Iterator[tuple[str, Any]]:
    """Give every command with its full name, sub-commands after their group."""
    root: Any = get_command(app)
    for name in root.table:
        command = root.load(name)
        yield name, command
        for nested, inner in getattr(command, "commands", {}).items():
            yield f"{name} {nested}", inner


def reference() -> str:
    """Write all commands as Markdown, one section each."""
    return "\n".join(_section(name, command) for name, command in commands())


def refresh(text: str) -> str:
    """Put the current reference between the markers of a page.

    Raises:
        ValueError: The page lacks the markers.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page lacks the markers of the command reference")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _section(name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    own = [param for param in options if getattr(param, "rich_help_panel", None) != GLOBAL_PANEL]
    usage = " ".join(["rrnet", name, *map(_argument, arguments), *(["[OPTIONS]"] if own else [])])
    lines = [f"### rrnet {name}", "", _plain(command.help), "", "```text", usage, "```", ""]
    rows = [(_argument(param), param) for param in arguments]
    rows += [(", ".join([*param.opts, *param.secondary_opts]), param) for param in own]
    if rows:
        lines += ["| | |", "| --- | --- |"]
        lines += [f"| `{label}` | {_cell(param)} |" for label, param in rows]
        lines.append("")
    return "\n".join(lines)


def _argument(param: Any) -> str:
    name = (param.metavar or param.name).strip("[]{}").upper()
    name += "..." if param.nargs == -1 else ""
    return name if param.required else f"[{name}]"


def _cell(param: Any) -> str:
    text = _plain(getattr(param, "help", None))
    default = param.default
    shown = default is not None and default is not False and not callable(default)
    if shown and not param.required:
        text += f" Default: `{param.opts[0] if default is True else default}`."
    return text.replace("|", "\\|").replace("<", "&lt;")


def _plain(text: str | None) -> str:
    """A help text without the escapes that rich needs."""
    return (text or "").replace("\\[", "[")


def main(argv: Sequence[str]) -> None:
    """Renew the pages named on the command line."""
    for name in argv:
        page = Path(name)
        page.write_text(refresh(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
