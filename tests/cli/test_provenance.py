from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import rrnet_cli
from rrnet_cli.cli.provenance import code_version, shown_command

RELEASE = f"rrnet {rrnet_cli.__version__}"


def test_the_published_command_has_no_absolute_path(tmp_path):
    words = [
        *("eval", "a b", "--artifacts", f"{tmp_path}/store", f"--save-results={tmp_path}/x/y.json"),
        *("--config", "/somewhere/else/c.yaml", "--set", "k=/deep/down", "../up", "--seed", "3"),
    ]
    assert shown_command(words, tmp_path) == (
        "rrnet eval 'a b' --artifacts store --save-results=x/y.json "
        "--config c.yaml --set k=down ../up --seed 3"
    )


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_version_of_the_code_is_a_commit_or_a_release() -> None:
    assert re.fullmatch(r"(\S+-g)?[0-9a-f]{7,}(-dirty)?|v?\d\S*|rrnet \d\S*", code_version())


def test_only_changes_of_the_code_make_it_dirty(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "code.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "--short", "HEAD")
    (tmp_path / "result.json").write_text("{}\n")
    assert code_version(package) == commit
    (package / "code.py").write_text("a = 2\n")
    assert code_version(package) == f"{commit}-dirty"
    inner = package / "inner"
    inner.mkdir()
    assert code_version(inner) == RELEASE, "the checkout is somebody else's"


def test_no_checkout_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_version(tmp_path) == RELEASE
    monkeypatch.setenv("PATH", "")
    assert code_version(tmp_path) == RELEASE
