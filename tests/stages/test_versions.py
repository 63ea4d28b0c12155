"""Fault case 24: every field of every stage's settings is part of the version, nothing else is."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from rrnet_cli.base_settings import Settings
from rrnet_cli.recipes import load_recipe
from rrnet_cli.settings import EvalSettings, GraphSettings, TrainSettings
from rrnet_cli.store.artifact import Key

BASES: dict[str, Settings] = {
    "features": load_recipe("cifar10").extract,
    "graph": GraphSettings(),
    "model": TrainSettings(),
    "evaluation": EvalSettings(),
}


def leaves(model: BaseModel, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*prefix, name))
        else:
            yield (*prefix, name)


def other(annotation: Any, value: Any) -> Any:
    """Some value of the field's type that is not the present one."""
    options = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return next(option for option in options if option != value)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return other(next(kind for kind in options if kind is not type(None)), value)
    if typing.get_origin(annotation) is typing.Annotated:
        return other(options[0], value)
    if typing.get_origin(annotation) is tuple:
        return (value or (1, 2))[:1]
    changed = {bool: lambda: not value, int: lambda: (value or 0) + 1, str: lambda: f"{value}x"}
    return changed[annotation]() if annotation in changed else (value or 0.25) / 2


def changed(model: BaseModel, path: tuple[str, ...]) -> BaseModel:
    name, *rest = path
    value = getattr(model, name)
    field = type(model).model_fields[name]
    new = changed(value, tuple(rest)) if rest else other(field.annotation, value)
    return model.model_copy(update={name: new})


def version(kind: str, settings: BaseModel, name: str = "any") -> str:
    params = settings.model_dump(mode="json")
    return Key(kind=kind, name=name, params=params, inputs={}, data=None).version


CASES = [(kind, path) for kind, base in BASES.items() for path in leaves(base)]


@pytest.mark.parametrize(("kind", "path"), CASES, ids=[f"{k}-{'.'.join(p)}" for k, p in CASES])
def test_every_field_changes_the_version(kind: str, path: tuple[str, ...]) -> None:
    base = BASES[kind]
    assert version(kind, changed(base, path)) != version(kind, base)


@pytest.mark.parametrize("kind", BASES)
def test_the_name_does_not(kind: str) -> None:
    assert version(kind, BASES[kind], "one") == version(kind, BASES[kind], "two")
