"""How domain code reports progress without knowing of a console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One running piece of work."""

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Count `steps` more done; `status` is a short text such as ``loss 0.31``."""


class Reporter(Protocol):
    """What stages and domain packages may say while they work."""

    def task(
        self, description: str, total: int | None, unit: str = "it", done: int = 0
    ) -> AbstractContextManager[Task]:
        """Open a progress bar of `total` steps, `done` of them behind us (a resumed run)."""

    def note(self, message: str) -> None:
        """One line for the user: a count, a clamp, a fallback."""


class _SilentTask:
    def advance(self, steps: int = 1, status: str = "") -> None:
        """Say nothing."""


class SilentReporter:
    """A reporter that says nothing: the default of every domain function, and of tests."""

    @contextmanager
    def task(
        self, description: str, total: int | None, unit: str = "it", done: int = 0
    ) -> Iterator[Task]:
        """Yield a task that swallows its steps."""
        yield _SilentTask()

    def note(self, message: str) -> None:
        """Say nothing."""
