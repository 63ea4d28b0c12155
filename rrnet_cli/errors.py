"""The one exception tree; every leaf carries the exit code of the command line.

RRNetError (1)
├── ConfigError (2)            usage or configuration
│   └── DivergedError          a training whose loss is no number any more
├── InputError (3)             bad input data
├── UpstreamError (4)          an artifact that a stage needs
│   ├── ArtifactMissingError   not there, or incomplete
│   └── ArtifactFormatError    of a format this version cannot read
├── ArtifactCorruptError (5)   bytes differ from the manifest
├── BusyError (6)              lock not had in time
└── ResourceError (7)          library, disk, memory, permission
    └── ProcessLostError       another process of the same training ended
"""

from __future__ import annotations


class RRNetError(Exception):
    """A failure that a user can act on.

    Args:
        message: One sentence: what is wrong and where.
        hint: What to do about it, as a sentence or a command.
    """

    exit_code: int = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(RRNetError):
    """A wrong flag, an unknown or ill-typed key of a configuration, an impossible choice."""

    exit_code = 2


class DivergedError(ConfigError):
    """A training under settings that made its loss NaN or infinite."""


class InputError(RRNetError):
    """Raw data that is missing, unreadable or breaks a documented rule."""

    exit_code = 3


class UpstreamError(RRNetError):
    """An artifact that a stage needs cannot be used."""

    exit_code = 4


class ArtifactMissingError(UpstreamError):
    """The artifact, or a file that its manifest lists, is not there."""


class ArtifactFormatError(UpstreamError):
    """The artifact was written in a format that this version cannot read."""


class ArtifactCorruptError(RRNetError):
    """The bytes of an artifact differ from what its manifest promises."""

    exit_code = 5


class BusyError(RRNetError):
    """Another process holds the lock and did not let go in time."""

    exit_code = 6


class ResourceError(RRNetError):
    """The environment: a library, a codec, disk, memory or permission."""

    exit_code = 7


class ProcessLostError(ResourceError):
    """Another process of the same training ended before its time."""
