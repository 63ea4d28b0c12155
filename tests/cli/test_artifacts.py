from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rrnet_cli.store import Artifact, Key, Store
from tests.conftest import ROOT, Result
from tests.store.samples import FILES, build, make_key, overwrite

Invoke = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The default store of commands run in `tmp_path`."""
    return Store(tmp_path / "artifacts")


@pytest.fixture
def features(store: Store) -> Artifact:
    return store.materialise(make_key(), build).artifact


@pytest.fixture
def graph(store: Store, features: Artifact) -> Artifact:
    key = Key("graph", "net", {"k": 10}, {"features": features.ref})
    return store.materialise(key, build).artifact


def test_ls(invoke: Invoke, features: Artifact, graph: Artifact) -> None:
    done = invoke("artifacts", "ls")
    assert done.code == 0 and done.err == ""
    head, *rows = done.out.splitlines()
    assert head.split() == ["artifact", "created", "(UTC)", "size", "state"]
    assert [row.split()[:2] for row in rows] == [[str(features.ref), "*"], [str(graph.ref), "*"]]
    assert all(row.endswith("ok") for row in rows)
    listed = invoke("--json", "artifacts", "ls", "graph").json["artifacts"]
    assert [entry["artifact"] for entry in listed] == [str(graph.ref)]
    assert listed[0]["newest"] is True and listed[0]["summary"] == {"instances": 3}


def test_ls_of_nothing_and_of_an_unknown_kind(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("artifacts", "ls").out == "no artifacts in artifacts\n"
    assert invoke("artifacts", "ls", "--json").json == {"artifacts": []}
    assert not (tmp_path / "artifacts").exists()
    assert invoke("artifacts", "ls", "thing").code == 2


def test_ls_shows_damage_and_still_succeeds(invoke: Invoke, features: Artifact) -> None:
    overwrite(features.path / "manifest.json", b"{}")
    done = invoke("artifacts", "ls")
    assert done.code == 0 and done.out.splitlines()[1].endswith("corrupt")
    assert invoke("artifacts", "ls", "--json").json["artifacts"][0]["state"] == "corrupt"


def test_show(invoke: Invoke, features: Artifact, graph: Artifact) -> None:
    out = invoke("artifacts", "show", "net").out
    assert str(graph.ref) in out and str(features.ref) in out and "k: 10" in out
    assert "features.safetensors" in out and "audio float32 (3, 2)" in out and "3 rows" in out
    shown = invoke("artifacts", "show", "graph/net", "--json").json
    written = json.loads((graph.path / "manifest.json").read_bytes())
    assert {key: shown[key] for key in written} == written


@pytest.mark.parametrize("form", ["tiny", "features/tiny", "tiny@{v}", "features/tiny@{p}", "{f}"])
def test_path_of_every_form_of_reference(
    invoke: Invoke, features: Artifact, graph: Artifact, form: str
) -> None:
    version = features.ref.version
    ref = form.format(v=version, p=version[:5], f=features.path)
    done = invoke("artifacts", "path", ref)
    assert Path(done.out.strip()).resolve() == features.path and done.err == ""
    assert invoke("artifacts", "path", ref, "--json").json["artifact"] == str(features.ref)


@pytest.mark.parametrize("command", ["show", "path", "verify", "lineage", "rm", "repair"])
def test_a_missing_artifact_is_exit_4(invoke: Invoke, features: Artifact, command: str) -> None:
    done = invoke("artifacts", command, "nothing")
    assert done.code == 4 and done.out == "" and len(done.error_lines) == 1
    assert "features/tiny" in done.err
    assert invoke("artifacts", command, "nothing", "--json").json["error"]["exit_code"] == 4


def test_verify(invoke: Invoke, features: Artifact, graph: Artifact) -> None:
    assert invoke("artifacts", "verify", "--all").out.count("ok") == 2
    before = (features.path / FILES[0]).read_bytes()
    flipped = bytes([before[0] ^ 1]) + before[1:]
    overwrite(features.path / FILES[0], flipped)
    done = invoke("artifacts", "verify", "--all")
    assert done.code == 5
    assert features.manifest.files[FILES[0]].sha256 in done.out and FILES[0] in done.out
    assert f"rrnet artifacts repair {features.ref}" in done.out
    report = invoke("artifacts", "verify", "--all", "--json")
    assert report.code == 5
    assert [entry["ok"] for entry in report.json["artifacts"]] == [False, True]
    assert invoke("artifacts", "verify", "net").code == 0
    assert invoke("artifacts", "verify", "tiny", "--no-verify").code == 5


def test_verify_of_an_incomplete_one_is_exit_4(invoke: Invoke, features: Artifact) -> None:
    (features.path / FILES[0]).unlink()
    done = invoke("artifacts", "verify", "tiny")
    assert done.code == 4 and FILES[0] in done.out and "incomplete" in done.out


def test_verify_of_a_newer_format_is_exit_4(invoke: Invoke, features: Artifact) -> None:
    path = features.path / "manifest.json"
    overwrite(path, path.read_bytes().replace(b'"format": 1', b'"format": 2'))
    for command in ("verify", "show"):
        done = invoke("artifacts", command, "tiny")
        assert done.code == 4 and "upgrade" in done.out + done.err


@pytest.mark.parametrize("args", [[], ["tiny", "--all"]])
def test_verify_wants_one_or_all(invoke: Invoke, features: Artifact, args: list[str]) -> None:
    assert invoke("artifacts", "verify", *args).code == 2


def test_lineage(invoke: Invoke, features: Artifact, graph: Artifact) -> None:
    assert invoke("artifacts", "lineage", "net").out.splitlines() == [
        str(graph.ref),
        f"  features: {features.ref}",
    ]
    assert f"used by: {graph.ref}" in invoke("artifacts", "lineage", "tiny").out
    document = invoke("artifacts", "lineage", "net", "--json").json
    assert document["inputs"]["features"]["artifact"] == str(features.ref)
    shutil.rmtree(features.path)
    assert "incomplete" in invoke("artifacts", "lineage", "net").out


def test_diff(invoke: Invoke, store: Store, features: Artifact) -> None:
    other = store.materialise(make_key(lr=0.5), build).artifact
    refs = f"tiny@{features.ref.version}", f"tiny@{other.ref.version}"
    assert "lr: 0.01 -> 0.5" in invoke("artifacts", "diff", *refs).out
    changes = invoke("artifacts", "diff", *refs, "--json").json["changes"]
    assert changes == {"params": {"lr": {"a": 0.01, "b": 0.5}}}
    assert "no difference" in invoke("artifacts", "diff", "tiny", "tiny").out


def test_rm(invoke: Invoke, store: Store, features: Artifact, graph: Artifact) -> None:
    done = invoke("artifacts", "rm", "tiny")
    assert done.code == 2 and str(graph.ref) in done.err and "--force" in done.err
    assert invoke("artifacts", "rm", "tiny", "--force").out == f"removed {features.ref}\n"
    assert invoke("artifacts", "rm", str(graph.path), "--json").json == {"removed": str(graph.ref)}
    assert store.refs() == []


def test_gc(invoke: Invoke, store: Store, features: Artifact) -> None:
    store.materialise(make_key(x=2), build)
    (features.path.parent / ".tmp-000000000000-00").mkdir()
    planned = invoke("artifacts", "gc", "--keep", "1", "--dry-run", "--json").json
    assert planned["dry_run"] is True and len(planned["removed"]) == 2 and planned["bytes"] > 1000
    assert len(store.refs()) == 2
    out = invoke("artifacts", "gc", "--keep", "1").out
    assert "removed 2 things" in out and "not among the newest 1" in out
    assert len(store.refs()) == 1
    assert invoke("artifacts", "gc").out == "removed 0 things, 0 B\n"
    assert invoke("artifacts", "gc", "--keep", "0").code == 2


def test_repair(invoke: Invoke, features: Artifact, graph: Artifact) -> None:
    assert "nothing to do" in invoke("artifacts", "repair", "tiny").out
    overwrite(features.path / FILES[0], b"x")
    done = invoke("artifacts", "repair", "tiny")
    assert (
        done.code == 0 and "rrnet extract" in done.out and f"made from it: {graph.ref}" in done.out
    )
    assert not features.path.exists()
    (graph.path / FILES[0]).unlink()
    document = invoke("artifacts", "repair", "net", "--json").json
    assert document["artifact"] == str(graph.ref) and Path(document["set_aside"]).name
    assert document["problems"][0]["exit_code"] == 4


def test_every_command_has_help(invoke: Invoke) -> None:
    assert invoke("artifacts").code == 2
    overview = invoke("artifacts", "--help").out
    for name in ("ls", "show", "path", "verify", "lineage", "diff", "rm", "gc", "repair"):
        assert f" {name} " in overview
        assert "Usage: rrnet artifacts" in invoke("artifacts", name, "--help").out


def test_listing_imports_no_heavy_library(features: Artifact) -> None:
    probe = (
        "import sys; from rrnet_cli.cli.app import run; code = run(['artifacts', 'ls']); "
        "bad = {'torch', 'dgl', 'numpy', 'pyarrow', 'pandas'} & set(sys.modules); "
        "sys.exit(f'{code} {bad}' if code or bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=features.path.parents[3],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str(features.ref) in done.stdout
