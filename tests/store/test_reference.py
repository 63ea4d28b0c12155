from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from rrnet_cli import settings
from rrnet_cli.errors import ConfigError
from rrnet_cli.store import FORMATS, ArtifactRef, Fingerprint, Key
from rrnet_cli.store import reference as reference_module
from rrnet_cli.store.reference import STAGES, is_file_name, is_name, is_version
from tests.store.samples import make_key, ref

HOSTILE = [
    "", ".", "..", "../x", "/etc/passwd", "a/../../b", "a/..", "a//b", "a/", "/", "%2e%2e",
    "C:\\x", "a\\b", "a\0b", "a#b", "a?b", "a b", "a\n", ".hidden", "a/.hidden", "~x", "-rf",
    "é", "a:b", "$(x)", "a" * 300, "a/b/c/d/e", "manifest.json",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_not_on_the_allow_list(text: str) -> None:
    assert not is_file_name(text)
    if text != "manifest.json":
        assert not is_name(text)
        with pytest.raises(ConfigError, match="cannot be the name"):
            make_key(text)
        with pytest.raises(ValueError):
            ArtifactRef("features", text, "0" * 12)
    assert not is_version(text)


@pytest.mark.parametrize("text", ["a", "esc10-logmel", "A_1.b", "edges/a.intra.a.parquet"])
def test_plain_names_are_allowed(text: str) -> None:
    assert is_file_name(text)
    assert is_name(text) is ("/" not in text)


@given(st.text(max_size=30))
def test_an_allowed_file_name_stays_below_its_folder(text: str) -> None:
    if is_file_name(text):
        assert not text.startswith("/") and not {"", ".", ".."} & set(text.split("/"))
        assert text.isascii() and text.isprintable()


@pytest.mark.parametrize("version", ["0" * 11, "0" * 13, "0123456789aB", "0123456789a\n", "g" * 12])
def test_versions_are_twelve_hex_digits(version: str) -> None:
    assert not is_version(version)
    with pytest.raises(ValueError):
        ref(version)


def test_every_kind_has_a_format_and_a_stage() -> None:
    assert set(FORMATS) == set(STAGES) == {
        "baseline", "shard", "features", "graph", "partition", "model", "sweep", "evaluation",
    }  # fmt: skip
    with pytest.raises(ValueError, match="kind"):
        make_key(kind="thing")


BASE = Key(
    "graph",
    "tiny",
    {"a": 1, "b": {"c": [1, 2], "d": 0.5}, "e": None},
    {"features": ref("0" * 12)},
    Fingerprint(3, 100, "ab" * 32),
)


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, kind="model"),
        replace(BASE, params={**BASE.params, "a": 2}),
        replace(BASE, params={**BASE.params, "a": True}),
        replace(BASE, params={**BASE.params, "e": 0}),
        replace(BASE, params={**BASE.params, "b": {"c": [2, 1], "d": 0.5}}),
        replace(BASE, params={**BASE.params, "b": {"c": [1, 2], "d": 0.5000000000000001}}),
        replace(BASE, params={**BASE.params, "new": None}),
        replace(BASE, params={key: BASE.params[key] for key in "ab"}),
        replace(BASE, inputs={"features": ref("1" * 12)}),
        replace(BASE, inputs={"other": ref("0" * 12)}),
        replace(BASE, inputs={}),
        replace(BASE, inputs={**BASE.inputs, "more": ref("2" * 12)}),
        replace(BASE, data=Fingerprint(3, 100, "ac" * 32)),
        replace(BASE, data=None),
    ],
)
def test_whatever_decides_the_content_changes_the_version(other: Key) -> None:
    assert is_version(BASE.version)
    assert other.version != BASE.version


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, name="another"),
        replace(BASE, params={"e": None, "b": {"d": 0.5, "c": (1, 2)}, "a": 1}),
        replace(BASE, inputs={"features": ref("0" * 12, name="renamed")}),
    ],
)
def test_names_and_the_order_of_keys_do_not_change_the_version(other: Key) -> None:
    assert other.version == BASE.version


def test_a_new_format_is_a_new_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = BASE.version
    monkeypatch.setattr(reference_module, "FORMATS", {**FORMATS, "graph": 2})
    assert BASE.version != before


def test_versions_stay_what_they_are_from_release_to_release() -> None:
    """A pinned value: changing the recipe of a version orphans every artifact there is."""
    assert BASE.version == "ac6562cb1ec3"


def changed(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return ["changed"] if isinstance(value, list) else f"{value}-changed"


STAGE_SETTINGS: list[BaseModel] = [
    settings.DataSettings(layout="esc"),
    settings.BaselineSettings(backbone="logmel"),
    settings.TextSettings(),
    settings.GraphSettings(),
    settings.TrainSettings(),
    settings.EvalSettings(),
]


@pytest.mark.parametrize(
    ("model", "field"),
    [(model, field) for model in STAGE_SETTINGS for field in type(model).model_fields],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_every_field_of_every_stage_changes_the_version(model: BaseModel, field: str) -> None:
    params = model.model_dump(mode="json")
    key = Key("model", "x", params)
    assert replace(key, params={**params, field: changed(params[field])}).version != key.version
    assert replace(key, params=type(model)(**params).model_dump(mode="json")).version == key.version


def test_parameters_that_are_no_json_are_refused() -> None:
    with pytest.raises(ValueError):
        _ = make_key(x=float("nan")).version
    with pytest.raises(TypeError):
        _ = make_key(x={1, 2}).version
