"""What a command says and where: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrnet_cli.cli.reporters import BarReporter, LineReporter
from rrnet_cli.errors import ConfigError
from rrnet_cli.progress import Reporter, SilentReporter

if TYPE_CHECKING:
    from rich.console import Console

    from rrnet_cli.store.store import Store


def plain_console(*, stderr: bool = False) -> Console:
    """A console that never reads markup in user text and never breaks a line by itself.

    Colour and width are rich's own rules: NO_COLOR, TERM, COLUMNS, and none without a terminal.
    """
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


@dataclass
class Session:
    """The global options of one run, and the two ways out: `reporter` and `emit`."""

    artifacts: Path = Path("artifacts")
    json: bool = False
    quiet: bool = False
    debug: bool = False
    verify: bool = True
    lock_timeout: float = 600.0
    argv: tuple[str, ...] = ()
    emitted: bool = field(default=False, init=False)

    def store(self) -> Store:
        """Open the store that `--artifacts` names.

        Raises:
            ConfigError: It is a file.
        """
        from rrnet_cli.store.store import Store

        if self.artifacts.exists() and not self.artifacts.is_dir():
            raise ConfigError(f"the store {self.artifacts} is no folder", "give --artifacts DIR")
        return Store(
            self.artifacts,
            verify=self.verify,
            lock_timeout=self.lock_timeout,
            note=self.reporter.note,
        )

    @cached_property
    def out(self) -> Console:
        """Console of results: stdout."""
        return plain_console()

    @cached_property
    def err(self) -> Console:
        """Console of progress, notes and errors: stderr."""
        return plain_console(stderr=True)

    @cached_property
    def reporter(self) -> Reporter:
        """Silent under `--quiet`, bars on a terminal, plain lines elsewhere."""
        if self.quiet:
            return SilentReporter()
        return BarReporter(self.err) if self.err.is_terminal else LineReporter(self.err)

    def emit(
        self, result: Mapping[str, Any] | Sequence[Any], human: Callable[[], None] | str
    ) -> None:
        """Give the result of the command, once.

        Args:
            result: What `--json` writes: plain values, paths, numpy scalars; NaN becomes null.
            human: The text for people, or a function that prints it (to `self.out`).

        Raises:
            RuntimeError: On a second call, which would make stdout two documents.
        """
        if self.emitted:
            raise RuntimeError("a command emits its result once")
        self.emitted = True
        if self.json:
            sys.stdout.write(json.dumps(plain(result), indent=2, allow_nan=False) + "\n")
        elif isinstance(human, str):
            self.out.print(human)
        else:
            human()

    def close(self) -> None:
        """Under `--json`, write an empty document where the command had nothing to give."""
        if self.json and not self.emitted:
            self.emit({}, "")


def plain(value: Any) -> Any:
    """Turn a result into what JSON can hold.

    Args:
        value: Mappings, sequences, sets, paths, numpy scalars and arrays, plain values.

    Returns:
        Dicts with string keys, lists and plain values; NaN and infinities become None.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return plain(value.tolist())
    return str(value)
