from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rrnet_cli.cli.console import Session, plain
from rrnet_cli.cli.reporters import BarReporter, Gauge, LineReporter, duration
from rrnet_cli.progress import SilentReporter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def console(*, terminal: bool = False, width: int = 80) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=width,
        soft_wrap=True,
        highlight=False,
        markup=False,
    )


def test_lines_come_every_few_seconds_and_once_more_at_the_end() -> None:
    clock, out = Clock(), console()
    with LineReporter(out, every=5, clock=clock).task("decode", 100, "clips") as task:
        for _ in range(4):
            clock.now += 2
            task.advance(10, "x.wav")
    assert lines(out) == [
        "decode: 30/100 clips, 5.0 clips/s, 0:00:14 left, x.wav",
        "decode: 40/100 clips, 5.0 clips/s, 0:00:12 left, x.wav (took 0:00:08)",
    ]


def test_a_short_task_says_nothing_and_notes_come_at_once() -> None:
    clock, out = Clock(), console()
    reporter = LineReporter(out, clock=clock)
    with reporter.task("short", 3) as task:
        task.advance(3)
    reporter.note("clamped k to 3 [of 10]")
    assert lines(out) == ["clamped k to 3 [of 10]"]


def test_a_failing_task_says_no_closing_line() -> None:
    clock, out = Clock(), console()
    with pytest.raises(ValueError, match="x"), LineReporter(out, clock=clock).task("t", 3) as task:
        clock.now += 9
        task.advance()
        raise ValueError("x")
    assert len(lines(out)) == 1


def test_rates_of_a_resumed_task_count_only_its_own_steps() -> None:
    clock = Clock()
    gauge = Gauge("epochs", 20, "epochs", 10, clock)
    clock.now += 8
    gauge.count(2, "loss 0.5")
    assert gauge.line() == "epochs: 12/20 epochs, 4.0 s/epochs, 0:00:32 left, loss 0.5"


def test_without_a_total_there_is_no_remaining_time() -> None:
    clock = Clock()
    gauge = Gauge("scan", None, "files", 0, clock)
    assert gauge.line() == "scan: 0 files"
    clock.now += 1
    gauge.count(1500, "")
    assert gauge.line() == "scan: 1,500 files, 1,500.0 files/s"


@given(st.integers(0, 10**7))
def test_durations_read_back(seconds: int) -> None:
    hours, minutes, rest = duration(seconds).split(":")
    assert int(hours) * 3600 + int(minutes) * 60 + int(rest) == seconds
    assert len(minutes) == len(rest) == 2


@pytest.mark.parametrize("width", [20, 80])
def test_a_bar_appears_after_two_seconds_and_goes_with_the_last_task(width: int) -> None:
    clock, out = Clock(), console(terminal=True, width=width)
    reporter = BarReporter(out, clock=clock)
    with reporter.task("folds", 5, "folds") as outer:
        outer.advance()
        assert reporter.progress is None
        clock.now += 3
        outer.advance()
        with reporter.task("epochs", 10, "epochs") as inner:
            clock.now += 3
            inner.advance(4, "loss [0.1]")
            assert reporter.progress is not None
            assert [task.completed for task in reporter.progress.tasks] == [2, 4]
            reporter.note("a note")
        assert len(reporter.progress.tasks) == 1
    assert reporter.progress is None
    assert any("a note" in line for line in lines(out))


def test_a_bar_is_closed_by_a_failure() -> None:
    clock = Clock()
    reporter = BarReporter(console(terminal=True), clock=clock)
    with pytest.raises(KeyboardInterrupt), reporter.task("t", 3) as task:
        clock.now += 3
        task.advance()
        raise KeyboardInterrupt
    assert reporter.progress is None


def test_quiet_is_silent() -> None:
    assert isinstance(Session(quiet=True).reporter, SilentReporter)
    assert isinstance(Session().reporter, LineReporter), "under pytest stderr is no terminal"


def test_notes_go_to_stderr_and_the_result_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    session = Session()
    session.reporter.note("n [x] " + "long " * 60)
    session.emit({"a": 1}, "features/x@12 [y] " + "wide " * 60)
    out, err = capsys.readouterr()
    assert out == "features/x@12 [y] " + "wide " * 60 + "\n"
    assert err == "n [x] " + "long " * 60 + "\n"


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from rrnet_cli.cli.console import plain_console

    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert plain_console().no_color


def test_a_function_renders_for_people_only(capsys: pytest.CaptureFixture[str]) -> None:
    called: list[int] = []
    Session(json=True).emit({"a": Path("x/y")}, lambda: called.append(1))
    assert (called, json.loads(capsys.readouterr().out)) == ([], {"a": "x/y"})
    Session().emit({}, lambda: called.append(1))
    assert called == [1]


def test_numbers_of_numpy_and_missing_values_become_json() -> None:
    value = {
        1: np.float32(0.5),
        "nan": float("nan"),
        "array": np.array([[1, 2], [3, 4]]),
        "inf": [np.float64("inf"), -1.5],
        "set": {"b", "a"},
        "none": None,
        "flag": np.True_,
    }
    assert plain(value) == {
        "1": 0.5,
        "nan": None,
        "array": [[1, 2], [3, 4]],
        "inf": [None, -1.5],
        "set": ["a", "b"],
        "none": None,
        "flag": True,
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(json_values)
def test_every_result_is_strict_json(value: object) -> None:
    text = json.dumps(plain({"v": value}), allow_nan=False)
    assert json.loads(text) == plain(json.loads(text))
