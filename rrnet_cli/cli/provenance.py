"""What is said of how a published figure came about: the code's commit and the command line."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import rrnet_cli

PACKAGE = Path(rrnet_cli.__file__).resolve().parent


def code_version(package: Path = PACKAGE) -> str:
    """The commit that the code is a checkout of, as `git describe` names it, else its version.

    Args:
        package: Folder of the code. ``-dirty`` is said where it, not the rest of the checkout, has
            changes.
    """

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=package, capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        # an installed package may lie inside somebody else's checkout
        if Path(git("rev-parse", "--show-toplevel")).resolve() == package.parent:
            changed = "-dirty" if git("status", "--porcelain", "--", ".") else ""
            return git("describe", "--always") + changed
    except (OSError, subprocess.SubprocessError):
        pass
    return f"rrnet {rrnet_cli.__version__}"


def shown_command(argv: Sequence[str], folder: Path) -> str:
    """The command line as it may be published: shell-quoted, without absolute paths.

    Args:
        argv: The words after `rrnet`.
        folder: Paths below it are written relative to it; of others only the last part is.
    """
    return shlex.join(["rrnet", *(_without_absolute(word, folder) for word in argv)])


def _without_absolute(word: str, folder: Path) -> str:
    head, equals, value = word.rpartition("=")
    if not os.path.isabs(value):
        return word
    path = Path(os.path.normpath(value))
    below = path.is_relative_to(folder)
    return f"{head}{equals}{path.relative_to(folder).as_posix() if below else path.name}"
