"""Commands that load when they run, and global flags that may stand anywhere.

The root group knows of each command only a name, a line of help and where its function lives. Help
and completion of the root therefore import no command module, hence neither torch nor DGL.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

GLOBAL_PANEL = "Global options"
_SECTION = re.compile(r"\n\s*(?:Args|Returns|Raises|Examples?|Note):\n")
_WRAPPED = re.compile(r"(?<!\n)\n(?![\n\s*-])")  # a line break inside a paragraph


@dataclass(frozen=True)
class Entry:
    """One row of the table of commands.

    Attributes:
        target: ``module:attribute``, a function or a `typer.Typer`.
        help: The line shown by ``rrnet --help``.
        heavy: Whether it imports torch, so that the process is tuned before.
    """

    target: str
    help: str
    heavy: bool = False


def hoist(args: Sequence[str], flags: frozenset[str], valued: frozenset[str]) -> list[str]:
    """Move global options in front of the command, so that they may be given after it too.

    Args:
        args: The words after the program's name.
        flags: Global options without a value.
        valued: Global options with one, given as ``--key value`` or ``--key=value``.

    Returns:
        The same words, global options first; everything after ``--`` stays where it is, and so
        does a valued option that ends the line (the parser then says that its value is missing).
    """
    front: list[str] = []
    rest: list[str] = []
    words = list(args)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*front, *rest, word, *words]
        if word in flags or ("=" in word and word.partition("=")[0] in valued):
            front.append(word)
        elif word in valued and words:
            front += [word, words.pop(0)]
        else:
            rest.append(word)
    return front + rest


def help_text(docstring: str | None) -> str | None:
    """What a docstring says before its Args and Raises, paragraphs on one line each."""
    if docstring is None:
        return None
    text = _SECTION.split(inspect.cleandoc(docstring) + "\n")[0].strip()
    return _WRAPPED.sub(" ", text)


class LazyGroup(TyperGroup):
    """A root group that imports a command's module when that command is resolved.

    A subclass sets `table`, and `options`: a function whose parameters are the global options.
    """

    table: ClassVar[Mapping[str, Entry]] = {}
    flags: ClassVar[frozenset[str]] = frozenset()
    valued: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.help = help_text(self.help)
        for name, entry in self.table.items():
            self.commands[name] = TyperCommand(name, help=entry.help)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, after global options were brought forward."""
        return super().parse_args(ctx, hoist(args, self.flags, self.valued))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Replace the placeholder of the named command by the real one."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is None or name not in self.table:
            return name, command, rest
        return name, self.load(name), rest

    def load(self, name: str) -> Any:
        """Import the command `name` and give it the global options."""
        entry = self.table[name]
        module, _, attribute = entry.target.partition(":")
        command = build(name, getattr(import_module(module), attribute), entry.help)
        _escape_brackets(command)
        shared = [param for param in self.params if _is_global(self, param)]
        _share(command, shared)
        return command


def build(name: str, target: Callable[..., Any] | typer.Typer, short_help: str) -> Any:
    """Make one command or group of a function or a Typer application."""
    if isinstance(target, typer.Typer):
        command: Any = get_group(target)
        command.name = name
        command.no_args_is_help = False  # a missing command is a usage error, said in one line
        command.help = help_text(command.help) or short_help
        return command
    scratch = typer.Typer(add_completion=False)
    scratch.command(name=name, help=help_text(target.__doc__), short_help=short_help)(target)
    return get_command(scratch)


def _is_global(group: LazyGroup, param: Any) -> bool:
    return any(option in group.flags | group.valued for option in param.opts)


def _escape_brackets(command: Any) -> None:
    """Let ``[recipe]`` in a help text be text: rich would take it for markup and drop it."""
    command.help = _escape(command.help)
    for param in command.params:
        if getattr(param, "help", None):
            param.help = _escape(param.help)
    for nested in getattr(command, "commands", {}).values():
        _escape_brackets(nested)


def _escape(text: str | None) -> str | None:
    return None if text is None else text.replace("[", r"\[")


def _share(command: Any, params: Sequence[Any]) -> None:
    """Show global options in a command's help and completion; `hoist` has taken their values."""
    for nested in getattr(command, "commands", {}).values():
        _share(nested, params)
    taken = {option for param in command.params for option in param.opts}
    for param in params:
        if not taken.intersection(param.opts):
            twin = copy(param)
            twin.expose_value = False
            twin.rich_help_panel = GLOBAL_PANEL
            command.params.append(twin)
