from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrnet_cli.errors import InputError
from rrnet_cli.store import fingerprint
from rrnet_cli.store.digests import canonical_json, digest_json, parse_json, pretty_json

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    leaves.filter(lambda x: x not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    return tuple(shuffled(item) for item in value) if isinstance(value, list) else value


@given(values)
def test_canonical_json_means_the_value_whatever_its_order(value: Any) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert canonical_json(shuffled(value)) == text
    assert parse_json(pretty_json(value).encode()) == value
    assert digest_json(value) == hashlib.sha256(text.encode()).hexdigest()


def test_canonical_json_has_one_fixed_form() -> None:
    assert canonical_json({"b": (1, 2.5), "a": {"é": None}}) == '{"a":{"\\u00e9":null},"b":[1,2.5]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, {"a": {None: 1}}])
def test_canonical_json_refuses_what_has_no_one_form(value: Any) -> None:
    with pytest.raises(ValueError):
        canonical_json(value)


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def test_json_depth_is_bounded() -> None:
    assert parse_json(canonical_json(nested(31)).encode()) == nested(31)
    with pytest.raises(ValueError, match="deep"):
        canonical_json(nested(32))
    for depth in (32, 500, 200_000):
        with pytest.raises(ValueError, match="deep"):
            parse_json(b"[" * depth + b"0" + b"]" * depth)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"NaN", b"[-Infinity]", b'{"a":1,"a":2}', b'"\xff"', b"1 2", b"\x80\x04K."]
)
def test_parse_json_is_strict(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(data)


@given(st.binary(max_size=60))
def test_parse_json_gives_a_value_or_value_error(data: bytes) -> None:
    try:
        parse_json(data)
    except ValueError:
        return
    json.loads(data)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name, text in {"a.csv": "1,2", "audio/x.wav": "RIFF", "audio/y.wav": "RIFG"}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_fingerprint_is_of_the_content_only(raw: Path) -> None:
    before = fingerprint(raw, files(raw))
    assert (before.files, before.bytes) == (3, 11)
    moved = raw.rename(raw.with_name("elsewhere"))
    os.utime(moved / "a.csv", (1, 1))
    (moved / "a.csv").chmod(0o600)
    (moved / "not-listed").write_text("x")
    listed = [path for path in files(moved) if path.name != "not-listed"]
    assert fingerprint(moved, listed) == before
    assert fingerprint(moved, [*reversed(listed), listed[0]]) == before


def test_fingerprint_changes_with_every_byte_name_and_boundary(raw: Path) -> None:
    seen = {fingerprint(raw, files(raw)).digest}
    (raw / "audio/x.wav").write_text("RIFf")
    seen.add(fingerprint(raw, files(raw)).digest)
    (raw / "audio/x.wav").rename(raw / "audio/z.wav")
    seen.add(fingerprint(raw, files(raw)).digest)
    (raw / "audio/z.wav").write_text("RIF")  # one byte moves to the next file
    (raw / "audio/y.wav").write_text("fRIFG")
    seen.add(fingerprint(raw, files(raw)).digest)
    seen.add(fingerprint(raw, files(raw)[:2]).digest)
    assert len(seen) == 5


def test_fingerprint_of_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.write_bytes(b"x")
    assert fingerprint(tmp_path, [path]).files == 1


def test_fingerprint_says_what_it_cannot_read(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"gone\.wav"):
        fingerprint(raw, [raw / "gone.wav"])
    with pytest.raises(InputError, match="not below"):
        fingerprint(raw / "audio", [raw / "a.csv"])
    with pytest.raises(InputError, match="audio"):
        fingerprint(raw, [raw / "audio"])


def test_fingerprint_announces_a_long_read(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    fingerprint(raw, files(raw), notes.append)
    assert notes == []
    monkeypatch.setattr("rrnet_cli.store.digests._SAY_SO_ABOVE", 10)
    fingerprint(raw, files(raw), notes.append)
    assert len(notes) == 1 and "3 files" in notes[0]
