from __future__ import annotations

import importlib
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from rrnet_cli import runtime
from rrnet_cli.stages import doctor
from tests.conftest import ROOT, Result

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_table_is_that_of_the_project_file() -> None:
    declared = {
        requirement.name: requirement.specifier
        for requirement in map(Requirement, PROJECT["dependencies"])
    }
    assert {name: SpecifierSet(text) for name, text in doctor.REQUIREMENTS.items()} == declared


def test_the_constraints_satisfy_the_project_file() -> None:
    pinned = [Requirement(line) for line in _constraint_lines()]
    versions = {pin.name.lower().replace("_", "-"): next(iter(pin.specifier)) for pin in pinned}
    assert all(specifier.operator == "==" for specifier in versions.values())
    groups = PROJECT["optional-dependencies"]
    extras = [text for group in groups.values() for text in group]
    for text in (*PROJECT["dependencies"], *extras):
        wanted = Requirement(text)
        found = versions[wanted.name.lower().replace("_", "-")].version
        assert found in wanted.specifier, wanted
    assert "rrnet" not in versions


def _constraint_lines() -> list[str]:
    text = (ROOT / "constraints.txt").read_text()
    assert "--hash" not in text and "file:" not in text
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("specifier", [">=1.26,<2", "==2.2.1", ">=0.7.1,<0.8", ">=4.3.3,<4.4"])
@pytest.mark.parametrize(
    "version",
    [
        *("1.25.9", "1.26", "1.26.0", "1.26.4", "2", "2.0.0", "2.2.1", "2.2.1+cu121", "2.2.2"),
        *("0.7", "0.7.1", "0.7.1.post1", "0.8", "0.8.0", "0.11.0", "4.3.3", "4.4.0", "10.0"),
    ],
)
def test_ranges_agree_with_packaging(version: str, specifier: str) -> None:
    expected = Version(version) in SpecifierSet(specifier)
    assert doctor.within(version, specifier) == expected


def test_a_local_build_counts_as_its_release() -> None:
    assert doctor.within("2.2.1+cu121", "==2.2.1")
    assert not doctor.within("2.2.2+cpu", "==2.2.1")


@pytest.mark.parametrize(
    ("name", "version", "level", "said"),
    [
        ("torch", "2.2.2", "FAIL", "2.2.2 is outside ==2.2.1"),
        ("torchdata", "0.11.0", "FAIL", "torchdata.datapipes"),
        ("numpy", "2.4.6", "FAIL", "compiled for numpy 1"),
        ("pyarrow", "26.0.1", "FAIL", "numpy 2"),
        ("scipy", "1.14.0", "FAIL", "gensim"),
        ("pandas", None, "FAIL", "without declaring it"),
        ("rich", "99.0", "warn", "outside"),
        ("numpy", "1.26.4", "ok", "1.26.4"),
    ],
)
def test_each_version_fact_is_one_line_with_its_pip_line(
    monkeypatch: pytest.MonkeyPatch, name: str, version: str | None, level: str, said: str
) -> None:
    monkeypatch.setattr(doctor, "version_of", lambda _name: version)
    check = doctor.check_package(name)
    assert check.level == level and said in check.what and "\n" not in check.what
    expected = None if level == "ok" else f"pip install '{name}{doctor.REQUIREMENTS[name]}'"
    assert check.mend == expected


def fake_dgl(folder: Path, *versions: str) -> Path:
    (folder / "graphbolt").mkdir(parents=True)
    for version in versions:
        (folder / "graphbolt" / f"libgraphbolt_pytorch_{version}.so").touch()
    return folder


@pytest.mark.parametrize(
    ("torch", "level"),
    [("2.2.1", "ok"), ("2.2.1+cpu", "ok"), ("2.2.2", "FAIL"), ("2.2", "FAIL"), (None, "FAIL")],
)
def test_graphbolt_is_looked_for_by_torch_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch: str | None, level: str
) -> None:
    folder = fake_dgl(tmp_path / "dgl", "2.2.0", "2.2.1")
    monkeypatch.setattr(doctor, "package_folder", lambda _name: folder)
    monkeypatch.setattr(doctor, "version_of", lambda _name: torch)
    check = doctor.check_graphbolt()
    assert check.level == level
    if torch == "2.2.2":
        assert "torch 2.2.2" in check.what and "2.2.0, 2.2.1" in check.what
        assert check.mend is not None and "'torch==2.2.1'" in check.mend


def test_the_installed_dgl_has_its_library() -> None:
    assert doctor.check_graphbolt().level == "ok"


def test_a_codec_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile = importlib.import_module("soundfile")
    assert doctor.check_codec().level == "ok"
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": "", "FLAC": ""})
    check = doctor.check_codec()
    assert check.level == "FAIL" and "OGG" in check.what


def test_cuda_on_the_cpu_wheel_fails_and_says_so() -> None:
    assert doctor.check_device("auto").level == "ok"
    check = doctor.check_device("cuda:0")
    assert check.level == "FAIL" and "cuda:0" in check.what


def test_packaged_vectors_are_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version_of", lambda _name: None)
    check = doctor.check_vectors()
    assert check.level == "warn" and check.mend is not None and "pip install" in check.mend


def test_the_store_is_looked_at_where_it_will_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor.check_store(tmp_path / "not" / "yet").level in ("ok", "warn")
    monkeypatch.setattr(os, "access", lambda *_args: False)
    assert doctor.check_store(tmp_path).level == "FAIL"


def test_more_threads_than_cores_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "usable_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    assert doctor.check_threads().level == "warn"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert doctor.check_threads().level == "ok"


def test_deep_runs_dgl_and_names_the_last_line_of_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "_DEEP", "raise ImportError('no libgraphbolt')")
    check = doctor.deep_check()
    assert (check.level, check.what) == ("FAIL", "ImportError: no libgraphbolt")
    monkeypatch.setattr(doctor, "_DEEP", "import time; time.sleep(30)")
    assert "no answer" in doctor.deep_check(timeout=0.2).what


def test_the_command_exits_7_when_something_fails(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "check_all", lambda *_a, **_k: [doctor.Check("x", "ok", "1")])
    result = invoke("doctor")
    assert (result.code, result.out) == (0, "ok   x: 1\n")
    bad = doctor.Check("numpy", "FAIL", "2.4", "pip install 'numpy<2'")
    monkeypatch.setattr(doctor, "check_all", lambda *_a, **_k: [bad])
    result = invoke("doctor")
    assert (result.code, result.out) == (7, "FAIL numpy: 2.4; mend: pip install 'numpy<2'\n")
    result = invoke("doctor", "--json")
    assert result.code == 7 and result.json["ok"] is False


def test_this_environment_is_sound(invoke: Callable[..., Result]) -> None:
    checks = {check["name"]: check for check in invoke("doctor", "--json").json["checks"]}
    broken = [name for name in doctor.REQUIREMENTS if checks[name]["level"] == "FAIL"]
    assert broken == []
