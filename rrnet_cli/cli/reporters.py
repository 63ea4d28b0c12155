"""Progress for people: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rrnet_cli.progress import Task

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

BAR_AFTER = 2.0
LINE_EVERY = 5.0
"""Seconds: a bar appears after the first; without a terminal a line comes every second."""


@dataclass
class Gauge:
    """Counts one task's steps and words its state; the clock starts when the task does."""

    description: str
    total: int | None
    unit: str
    done: int
    clock: Callable[[], float] = time.monotonic
    status: str = ""

    def __post_init__(self) -> None:
        self.first = self.done
        self.start = self.shown = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the task began."""
        return self.clock() - self.start

    def count(self, steps: int, status: str) -> None:
        """Take `steps` more as done."""
        self.done += steps
        self.status = status or self.status

    def due(self, every: float) -> bool:
        """Whether `every` seconds went by since this last said yes."""
        now = self.clock()
        if now - self.shown < every:
            return False
        self.shown = now
        return True

    def facts(self) -> str:
        """Rate, remaining time and status: ``12.5 clips/s, 0:00:07 left, loss 0.31``."""
        rate = (self.done - self.first) / self.elapsed if self.elapsed > 0 else 0.0
        parts = []
        if rate > 0:
            slow = rate < 1
            parts.append(f"{1 / rate:.1f} s/{self.unit}" if slow else f"{rate:,.1f} {self.unit}/s")
            if self.total is not None:
                parts.append(f"{duration(max(0, self.total - self.done) / rate)} left")
        return ", ".join([*parts, self.status] if self.status else parts)

    def line(self) -> str:
        """The whole state as one plain line."""
        count = f"{self.done:,}" if self.total is None else f"{self.done:,}/{self.total:,}"
        facts = self.facts()
        return f"{self.description}: {count} {self.unit}" + (f", {facts}" if facts else "")


def duration(seconds: float) -> str:
    """Write seconds as ``h:mm:ss``."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class LineReporter:
    """Where stderr is no terminal: one plain line every few seconds, notes as they come."""

    def __init__(
        self,
        console: Console,
        *,
        every: float = LINE_EVERY,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.console = console
        self.every = every
        self.clock = clock or time.monotonic

    @contextmanager
    def task(
        self, description: str, total: int | None, unit: str = "it", done: int = 0
    ) -> Iterator[Task]:
        """Report a piece of work; a short one says nothing."""
        task = _LineTask(self, Gauge(description, total, unit, done, self.clock))
        yield task
        if task.spoke:
            self.console.print(f"{task.gauge.line()} (took {duration(task.gauge.elapsed)})")

    def note(self, message: str) -> None:
        """Print one line."""
        self.console.print(message)


@dataclass
class _LineTask:
    reporter: LineReporter
    gauge: Gauge
    spoke: bool = False

    def advance(self, steps: int = 1, status: str = "") -> None:
        self.gauge.count(steps, status)
        if self.gauge.due(self.reporter.every):
            self.spoke = True
            self.reporter.console.print(self.gauge.line())


class BarReporter:
    """On a terminal: a bar for each task that runs longer than two seconds, gone when it ends."""

    def __init__(
        self,
        console: Console,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.console = console
        self.clock = clock or time.monotonic
        self.progress: Progress | None = None
        self.open_bars = 0

    @contextmanager
    def task(
        self, description: str, total: int | None, unit: str = "it", done: int = 0
    ) -> Iterator[Task]:
        """Open a piece of work; its bar appears once it is slow, below those already there."""
        task = _BarTask(self, Gauge(description, total, unit, done, self.clock))
        try:
            yield task
        finally:
            task.close()

    def note(self, message: str) -> None:
        """Print one line above the bars."""
        self.console.print(message)

    def show(self, gauge: Gauge) -> Any:
        """Open a bar and give its handle."""
        if self.progress is None:
            self.progress = _new_progress(self.console)
            self.progress.start()
        self.open_bars += 1
        return self.progress.add_task(
            gauge.description, total=gauge.total, completed=gauge.done, facts=gauge.facts()
        )

    def hide(self, handle: Any) -> None:
        """Close a bar; with the last one the display ends."""
        if self.progress is None:
            return
        self.progress.remove_task(handle)
        self.open_bars -= 1
        if self.open_bars == 0:
            self.progress.stop()
            self.progress = None


@dataclass
class _BarTask:
    reporter: BarReporter
    gauge: Gauge
    handle: Any = None

    def advance(self, steps: int = 1, status: str = "") -> None:
        self.gauge.count(steps, status)
        if self.handle is None and self.gauge.elapsed >= BAR_AFTER:
            self.handle = self.reporter.show(self.gauge)
        if self.handle is not None and self.reporter.progress is not None:
            self.reporter.progress.update(
                self.handle, completed=self.gauge.done, facts=self.gauge.facts()
            )

    def close(self) -> None:
        if self.handle is not None:
            self.reporter.hide(self.handle)


def _new_progress(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
        console=console,
        transient=True,
    )
