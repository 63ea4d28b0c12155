from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from rrnet_cli import __version__, errors
from rrnet_cli.cli import app as app_module
from rrnet_cli.cli import boundary, lazy
from rrnet_cli.cli.app import COMMANDS, RootGroup
from rrnet_cli.cli.console import Session
from tests.conftest import ROOT, Result

Invoke = Callable[..., Result]


def probe(ctx: typer.Context, name: Annotated[str, typer.Option(help="A [name].")] = "n") -> None:
    """Say the session.

    More words
    of it.

    Args:
        ctx: Hidden from the help.
    """
    action = ACTIONS.pop() if ACTIONS else None
    if isinstance(action, BaseException):
        raise action
    if action is not None:
        action()
    session = ctx.obj
    facts = {
        "store": str(session.artifacts),
        "quiet": session.quiet,
        "verify": session.verify,
        "timeout": session.lock_timeout,
        "name": name,
    }
    session.emit(facts, f"name {name}")


def mute(ctx: typer.Context) -> None:
    """Give nothing."""


ACTIONS: list[Any] = []


@pytest.fixture(autouse=True)
def _probe_command(monkeypatch: pytest.MonkeyPatch) -> None:
    ACTIONS.clear()
    entries = {
        "probe": lazy.Entry("tests.cli.test_app:probe", "Probe."),
        "mute": lazy.Entry("tests.cli.test_app:mute", "Mute."),
    }
    monkeypatch.setattr(RootGroup, "table", COMMANDS | entries)
    monkeypatch.setattr(app_module, "COMMANDS", COMMANDS | entries)


@pytest.mark.parametrize(
    "args",
    [
        ["--artifacts", "X", "--quiet", "--no-verify", "--json", "--lock-timeout", "3", "probe"],
        ["probe", "--artifacts", "X", "--quiet", "--no-verify", "--json", "--lock-timeout", "3"],
        ["--json", "probe", "-q", "--artifacts=X", "--no-verify", "--lock-timeout=3"],
    ],
)
def test_global_options_stand_anywhere(invoke: Invoke, args: list[str]) -> None:
    result = invoke(*args, "--name", "a")
    assert result.code == 0
    facts = {"store": "X", "quiet": True, "verify": False, "timeout": 3.0, "name": "a"}
    assert result.json == facts


def test_the_store_may_come_from_the_environment(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRNET_ARTIFACTS", "from-env")
    assert invoke("probe", "--json").json["store"] == "from-env"
    assert invoke("probe", "--json", "--artifacts", "flag").json["store"] == "flag"


words = st.lists(
    st.sampled_from(
        ["train", "--json", "--artifacts", "--artifacts=d", "x", "--name", "--", "-q", "--epochs=3"]
    ),
    max_size=9,
)


@given(words)
def test_hoist_keeps_every_word_and_the_order_of_the_rest(args: list[str]) -> None:
    flags, valued = frozenset({"--json", "-q"}), frozenset({"--artifacts"})
    moved = lazy.hoist(args, flags, valued)
    assert sorted(moved) == sorted(args)
    assert lazy.hoist(moved, flags, valued) == moved
    if "--" in args:
        at, new = args.index("--"), moved.index("--")
        if args[at - 1 : at] != ["--artifacts"]:
            assert moved[new:] == args[at:]


def test_a_global_option_without_its_value_is_a_usage_error(invoke: Invoke) -> None:
    result = invoke("probe", "--artifacts")
    assert result.code == 2
    assert "requires an argument" in result.error_lines[0]


def test_help_of_a_command_shows_the_docstring_without_its_sections(invoke: Invoke) -> None:
    result = invoke("probe", "--help")
    assert result.code == 0
    assert "More words of it." in result.out
    assert "Hidden from the help" not in result.out
    assert "A [name]." in result.out, "brackets are text, not markup"
    assert "Global options" in result.out and "--lock-timeout" in result.out


def test_help_lists_every_command_with_one_line(invoke: Invoke) -> None:
    result = invoke("--help")
    assert result.code == 0
    for name, entry in COMMANDS.items():
        line = next(line for line in result.out.splitlines() if f"│ {name} " in line)
        assert entry.help in line


@pytest.mark.parametrize("args", [[], ["artifacts"]])
def test_a_bare_group_is_a_usage_error(invoke: Invoke, args: list[str]) -> None:
    result = invoke(*args)
    assert (result.code, result.out) == (2, "")
    path = " ".join(["rrnet", *args])
    first, second = result.err.splitlines()
    assert first == "error: Missing command."
    assert second.startswith(f"hint: see `{path} --help`; commands: ")
    assert ("lineage" if args else "build-graph") in second


@pytest.mark.parametrize("args", [["--version"], ["train", "--version"]])
def test_version(invoke: Invoke, args: list[str]) -> None:
    result = invoke(*args)
    assert (result.code, result.out) == (0, f"rrnet {__version__}\n")


def test_a_misspelt_command_names_the_nearest(invoke: Invoke) -> None:
    result = invoke("trian")
    assert result.code == 2
    assert result.error_lines == ["error: No such command 'trian'. Did you mean 'train'?"]


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (errors.ConfigError("bad key", "see docs"), 2, "bad key"),
        (errors.InputError("no folder"), 3, "no folder"),
        (errors.ArtifactMissingError("none"), 4, "none"),
        (errors.ArtifactFormatError("newer"), 4, "newer"),
        (errors.ArtifactCorruptError("flipped"), 5, "flipped"),
        (errors.BusyError("held"), 6, "held"),
        (errors.ResourceError("full"), 7, "full"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 7, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9"), 7, "not enough memory"),
        (OSError(errno.ENOSPC, "No space left", "/x/y"), 7, "/x/y: the disk is full"),
        (OSError(errno.EROFS, "Read-only", "/x"), 7, "/x: the file system is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 7, "/x: permission denied"),
        (ModuleNotFoundError("No module named 'dgl'", name="dgl"), 7, "'dgl' is not installed"),
        (ImportError("libfoo.so: cannot open", name="torch"), 7, "import failed: libfoo.so"),
        (OSError("libcudart.so.12: cannot open shared object file"), 7, "does not load"),
        (FileNotFoundError("Cannot find DGL C++ graphbolt library at x"), 7, "does not find its"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), 1, "unexpected FileNotFoundError"),
        (ModuleNotFoundError("No module", name="rrnet_cli.x"), 1, "unexpected ModuleNotFound"),
        (ZeroDivisionError("a\nb"), 1, "unexpected ZeroDivisionError: a b"),
    ],
)
def test_every_failure_is_one_line_and_an_exit_code(
    invoke: Invoke, raised: BaseException, code: int, said: str
) -> None:
    ACTIONS.append(raised)
    result = invoke("probe")
    assert (result.code, result.out) == (code, "")
    assert len(result.error_lines) == 1 and said in result.error_lines[0]
    assert "Traceback" not in result.err

    ACTIONS.append(raised)
    result = invoke("probe", "--json")
    assert result.code == code
    assert result.json["error"]["exit_code"] == code
    assert said in result.json["error"]["message"]


def test_a_missing_library_gets_its_pip_line(invoke: Invoke) -> None:
    ACTIONS.append(ModuleNotFoundError("No module named 'yaml'", name="yaml"))
    assert "pip install 'pyyaml>=6,<7'" in invoke("probe").err


def test_several_configuration_errors_keep_their_lines(invoke: Invoke) -> None:
    ACTIONS.append(errors.ConfigError("2 problems:\n  - lr\n  - seed", "h"))
    result = invoke("probe")
    assert result.err.splitlines() == ["error: 2 problems:", "  - lr", "  - seed", "hint: h"]


def test_debug_adds_the_traceback(invoke: Invoke) -> None:
    ACTIONS.append(ZeroDivisionError("x"))
    result = invoke("probe", "--debug")
    assert result.code == 1
    assert "Traceback" in result.err and "in probe" in result.err
    assert len(result.error_lines) == 1


def test_usage_errors_under_json_are_one_document_too(invoke: Invoke) -> None:
    result = invoke("probe", "--nome", "x", "--json")
    assert result.code == 2
    assert result.json["error"]["type"] == "UsageError"
    assert result.json["error"]["hint"] == "see `rrnet probe --help`"


def test_json_of_a_command_without_result_is_an_empty_document(invoke: Invoke) -> None:
    assert invoke("mute", "--json").json == {}
    assert invoke("mute").out == ""


def test_a_second_result_is_refused() -> None:
    session = Session()
    session.emit({}, "")
    with pytest.raises(RuntimeError, match="once"):
        session.emit({}, "")


def test_sigterm_unwinds_like_an_interrupt(invoke: Invoke) -> None:
    unwound = []

    def wait() -> None:
        try:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
            time.sleep(10)
        finally:
            unwound.append(True)

    before = signal.getsignal(signal.SIGTERM)
    ACTIONS.append(wait)
    result = invoke("probe")
    assert (result.code, unwound) == (130, [True])
    assert result.error_lines == ["error: interrupted"]
    assert signal.getsignal(signal.SIGTERM) is before


INTERRUPTED_BACKWARD = """
import numpy as np, torch
from rrnet_cli.cli import app

class Interrupted(torch.autograd.Function):
    forward = staticmethod(lambda ctx, values: values.clone())

    @staticmethod
    def backward(ctx, gradient):
        raise KeyboardInterrupt

def train(argv, session):
    values = torch.ones(3, requires_grad=True)
    picked = (values * 2).index_select(0, torch.from_numpy(np.arange(3)))
    (picked.sum() + Interrupted.apply(values).sum()).backward()

app._invoke = train
app.main([])
"""


def test_an_interrupt_in_a_backward_pass_ends_the_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_BACKWARD],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 130 and done.stderr.startswith("error: interrupted\n")


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(app_module.run(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.parametrize("args", ["--help", "doctor", "doctor --json", "--version"])
def test_a_closed_pipe_is_141(args: str, tmp_path: Path) -> None:
    command = f'{sys.executable} -m rrnet_cli {args} | true; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (141, "")


def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom rrnet_cli.cli import boundary, app\nfrom rrnet_cli.errors import *\n"
        "app._never_fail_to_print()\n"
        "error = InputError('clip \\u00e4\\udcff.wav')\n"
        "sys.exit(boundary.report(error, as_json=True, debug=False))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (3, "error: clip \\xe4\\udcff.wav\n")
    assert json.loads(done.stdout)["error"]["message"] == "clip ä\udcff.wav"


def test_no_listener_on_stderr_does_not_hide_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_args: Any, **_kwargs: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(boundary, "say_failure", gone)
    assert boundary.report(errors.InputError("x"), as_json=False, debug=False) == 3
