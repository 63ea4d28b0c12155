"""From recipe, preset, configuration file and flags to the validated settings of one stage.

Later layers win, key by key: recipe section < preset < ``--config FILE`` < ``--set a.b=v`` < flags.
Every problem of every layer is collected; the user sees all of them in one message.
"""

from __future__ import annotations

import difflib
import math
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from rrnet_cli.base_settings import Settings
from rrnet_cli.errors import ConfigError
from rrnet_cli.recipes import strict_yaml

__all__ = ["known_keys", "resolve"]

SettingsT = TypeVar("SettingsT", bound=Settings)

SECTIONS = ("extract", "graph", "train", "eval")
"""Top-level keys of a configuration file that serves several stages."""

COMMANDS = {"graph": "build-graph"}
"""Sections whose command has another name."""

_Flat = dict[str, tuple[object, str]]  # dotted key -> (value, where it came from)


def resolve(
    model: type[SettingsT],
    base: Settings | Mapping[str, object] | None = None,
    *,
    config: Path | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, object | None] | None = None,
    section: str,
    presets: Mapping[str, Mapping[str, object]] | None = None,
    trial: Sequence[str] = (),
) -> SettingsT:
    """Merge the layers and validate the result.

    Args:
        model: The stage's settings.
        base: The recipe's section, or the few values that a stage without a recipe starts from.
        config: YAML file, either this stage's keys at the top level or one mapping a stage
            (``extract:``, ``graph:``, …), of which `section` is taken.
        sets: ``a.b=value`` assignments, the value read as YAML; the last of equal keys wins.
        flags: Dotted key to value; None means that the flag was not given.
        section: Name of the stage in a file of several stages and in messages.
        presets: Overrides by the value of the key ``preset``, wherever that was set.
        trial: More assignments as `sets`, after them: what one trial of a sweep varies.

    Returns:
        The validated settings.

    Raises:
        ConfigError: Everything that is wrong, in one message, each with its key and origin.
    """
    problems: list[str] = []
    keys = known_keys(model)
    start = base.model_dump() if isinstance(base, Settings) else dict(base or {})
    under = _flatten(start, keys, "the recipe", problems)
    given: _Flat = {}
    if config is not None:
        given |= _from_file(config, section, keys, problems)
    given |= _from_sets(sets, keys, problems)
    given |= _from_sets(trial, keys, problems, "the sweep")
    flags_given = {key: value for key, value in (flags or {}).items() if value is not None}
    given |= {
        key: (_as_field(keys.get(key), value), "--" + key.rpartition(".")[2].replace("_", "-"))
        for key, value in flags_given.items()
    }
    if presets is not None:
        under |= _from_preset(given, under, presets, keys, problems)
    return _validate(model, under | given, keys, section, problems)


def known_keys(model: type[Settings]) -> dict[str, FieldInfo]:
    """The dotted keys of a model and its nested models, each with its field."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            found |= {f"{name}.{key}": leaf for key, leaf in known_keys(annotation).items()}
        else:
            found[name] = field
    return found


def _from_file(
    path: Path, section: str, keys: Mapping[str, FieldInfo], problems: list[str]
) -> _Flat:
    try:
        document: Mapping[str, object] = strict_yaml.read(path)
    except ConfigError as error:
        problems.append(error.message)
        return {}
    if any(key in SECTIONS for key in document):
        for key in document:
            if key not in SECTIONS:
                problems.append(_unknown(str(key), SECTIONS, path.name))
        inner = document.get(section)
        if inner is not None and not isinstance(inner, Mapping):
            problems.append(f"{section}: expected `key: value` lines ({path.name})")
            return {}
        document = inner or {}
    return _flatten(document, keys, path.name, problems)


def _from_sets(
    sets: Sequence[str],
    keys: Mapping[str, FieldInfo],
    problems: list[str],
    origin: str = "--set",
) -> _Flat:
    flat: _Flat = {}
    for assignment in sets:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals or not key:
            problems.append(f"{origin} {assignment}: expected KEY=VALUE, e.g. lr=0.01")
        elif key not in keys:
            problems.append(_unknown(key, keys, origin))
        else:
            try:
                value = strict_yaml.parse(text, f"{origin} {key}")
            except ConfigError as error:
                problems.append(error.message)
                continue
            flat[key] = (_as_field(keys[key], value), origin)
    return flat


def _from_preset(
    given: _Flat,
    under: _Flat,
    presets: Mapping[str, Mapping[str, object]],
    keys: Mapping[str, FieldInfo],
    problems: list[str],
) -> _Flat:
    name, origin = given.get("preset") or under.get("preset") or (None, "")
    if name is None:
        return {}
    if not isinstance(name, str) or name not in presets:
        problems.append(f"preset: {name!r} is none of {', '.join(presets)} ({origin})")
        given.pop("preset", None)
        return {}
    return _flatten(presets[name], keys, f"the preset {name}", problems)


def _flatten(
    values: Mapping[str, object], keys: Mapping[str, FieldInfo], origin: str, problems: list[str]
) -> _Flat:
    """Nested mapping to dotted keys; unknown ones become problems and are left out."""
    flat: _Flat = {}
    for key, value in _leaves(values, keys):
        if key in keys:
            flat[key] = (_as_field(keys[key], value), origin)
        elif any(known.startswith(f"{key}.") for known in keys):
            problems.append(f"{key}: expected `key: value` lines, got {value!r} ({origin})")
        else:
            problems.append(_unknown(key, keys, origin))
    return flat


def _leaves(
    values: Mapping[str, object], keys: Mapping[str, FieldInfo], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        key = f"{prefix}{name}"
        is_section = any(known.startswith(f"{key}.") for known in keys)
        if is_section and isinstance(value, Mapping):
            yield from _leaves(value, keys, f"{key}.")
        else:
            yield key, value


def _as_field(field: FieldInfo | None, value: object) -> object:
    """``intra,inter`` or ``intra+inter`` for a field that is a tuple; anything else unchanged."""
    if (
        field is not None
        and isinstance(value, str)
        and typing.get_origin(field.annotation) is tuple
    ):
        return [part.strip() for part in re.split(r"[,+]", value)]
    return value


def _unknown(key: str, keys: Mapping[str, object] | Sequence[str], origin: str) -> str:
    """One line that names the nearest known key, by its full name or by its last part."""
    by_leaf = [known for known in keys if known.rpartition(".")[2] == key.rpartition(".")[2]]
    near = by_leaf[:1] or difflib.get_close_matches(key, list(keys), n=1, cutoff=0.6)
    if not near:
        leaves = {known.rpartition(".")[2]: known for known in keys}
        match = difflib.get_close_matches(key.rpartition(".")[2], list(leaves), n=1, cutoff=0.6)
        near = [leaves[match[0]]] if match else []
    guess = f"; did you mean `{near[0]}`?" if near else ""
    return f"unknown key `{key}` ({origin}){guess}"


def _validate(
    model: type[SettingsT],
    flat: _Flat,
    keys: Mapping[str, FieldInfo],
    section: str,
    problems: list[str],
) -> SettingsT:
    for key, (value, origin) in list(flat.items()):
        problem = _odd_scalar(keys.get(key), value)
        if problem is not None:
            problems.append(f"{key}: {problem} ({origin})")
            del flat[key]
    nested: dict[str, Any] = {}
    for key, (value, _) in flat.items():
        *parents, leaf = key.split(".")
        target = nested
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = value
    settings: SettingsT | None = None
    try:
        settings = model.model_validate(nested)
    except ValidationError as error:
        # A key whose value was refused above is now "missing"; saying so would be noise.
        named = " ".join(problems)
        problems += [
            line
            for item in error.errors(include_url=False)
            if (line := _explain(item, flat))
            and not (item["type"] == "missing" and f"{_dotted(item)}:" in named)
        ]
    if problems or settings is None:
        raise _refusal(problems, section)
    return settings


def _odd_scalar(field: FieldInfo | None, value: object) -> str | None:
    """What pydantic's lax mode would let through: true for 1, infinity for a rate."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"expected a finite number, got {value}"
    if isinstance(value, bool) and field is not None and not _allows(field.annotation, bool):
        return f"expected {_kind(field.annotation)}, got {str(value).lower()}"
    return None


def _allows(annotation: object, kind: type) -> bool:
    return annotation is kind or any(_allows(arg, kind) for arg in typing.get_args(annotation))


def _kind(annotation: object) -> str:
    numeric = _allows(annotation, int) or _allows(annotation, float)
    return "a number" if numeric else "text"


def _dotted(item: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in item["loc"])


def _explain(item: Mapping[str, Any], flat: _Flat) -> str:
    """One line of a pydantic error: key, what is wrong, the value and where it came from."""
    key = _dotted(item)
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if item["type"] == "missing":
        return f"{key}: required, and not given"
    parts = key.split(".")
    owners = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    origin = next((flat[owner][1] for owner in owners if owner in flat), None)
    got = "" if isinstance(item["input"], Mapping) else f", got {item['input']!r}"
    return f"{key}: {message}{got}" + (f" ({origin})" if origin else "")


def _refusal(problems: Sequence[str], section: str) -> ConfigError:
    hint = f"`rrnet {COMMANDS.get(section, section)} --help` explains the parameters"
    if len(problems) == 1:
        return ConfigError(problems[0], hint)
    listed = "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
    return ConfigError(f"{len(problems)} problems in the parameters of {section}: {listed}", hint)
