"""YAML without its traps, for recipes, `--config` files and the values of `--set`.

YAML 1.1 as PyYAML reads it keeps the last of two equal keys, expands aliases (a few hundred bytes
can become gigabytes), takes ``no`` for false, ``010`` for 8 and ``1e-3`` for a string. Here equal
keys, anchors, aliases and tags are refused, and scalars follow the core schema of YAML 1.2:
``true``/``false``, ``null``/``~``, decimal integers, floats with or without a point.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from rrnet_cli.errors import ConfigError

MAX_BYTES = 1_000_000
"""A file of parameters larger than this is a mistake."""

_TAG = "tag:yaml.org,2002:"


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without aliases, tags, merge keys and the implicit types of YAML 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: Any, index: Any) -> yaml.nodes.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.events.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.constructor.ConstructorError(
                None, None, "anchors and aliases are not allowed", event.start_mark
            )
        if getattr(event, "tag", None) is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the tag {event.tag} is not allowed", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Hashable, yaml.Mark] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be plain text", key_node.start_mark
                )
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key `{key}` is given twice, first in line {seen[key].line + 1}",
                    key_node.start_mark,
                )
            seen[key] = key_node.start_mark
        return super().construct_mapping(node, deep=deep)


for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
):
    _StrictLoader.add_implicit_resolver(
        _TAG + _name, re.compile(rf"^(?:{_pattern})$"), list(_first)
    )


def parse(text: str, origin: str) -> Any:
    """Read one YAML document.

    Args:
        text: The document.
        origin: What to call it in an error, e.g. the file's name.

    Raises:
        ConfigError: Not YAML, or YAML with a duplicate key, an anchor, an alias or a tag.
    """
    try:
        # _StrictLoader is a SafeLoader: it builds plain data only.
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{origin}, line {mark.line + 1}" if mark is not None else origin
        raise ConfigError(f"{where}: {error.problem or 'not YAML'}") from None
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{origin}: not readable as YAML ({reason})") from None
    except RecursionError:
        raise ConfigError(f"{origin}: nested too deeply") from None
    except ValueError as error:  # e.g. an integer of more digits than Python converts
        raise ConfigError(f"{origin}: {error}") from None


def read(path: Path) -> dict[str, Any]:
    """Read a file whose document is a mapping (an empty file is an empty mapping).

    Raises:
        ConfigError: Missing, over `MAX_BYTES`, not UTF-8, not a mapping, or as in `parse`.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"cannot read the configuration {path}: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"the configuration {path} is larger than {MAX_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the configuration {path} is not UTF-8 text (byte {error.start})"
        ) from None
    value = parse(text, path.name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path.name}: expected `key: value` lines, found one value")
    return value
