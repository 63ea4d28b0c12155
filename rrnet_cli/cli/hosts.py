"""Where the parts of a partition are trained: on this machine, or on the hosts of a file."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrnet_cli.errors import ConfigError

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.store import Store

PORT = 30050
"""Of the servers, where the file names none."""
_FORM = "It needs a line `address [port]` for each part; # begins a comment."


@dataclass(frozen=True)
class Parts:
    """What is trained where.

    Attributes:
        partition: The artifact.
        places: Address and port of each part's server.
    """

    partition: Artifact
    places: list[tuple[str, int]]

    @property
    def graph(self) -> str:
        """Reference of the graph that was cut."""
        return str(self.partition.manifest.inputs["graph"])

    @classmethod
    def named(
        cls,
        store: Store,
        reference: str | None,
        *,
        local: bool,
        hosts: Path | None,
        index: int | None,
        instead: Mapping[str, Any],
    ) -> Parts:
        """Read the options.

        Args:
            store: Where the partition is.
            reference: ``--partitions``.
            local: ``--local``.
            hosts: ``--hosts``.
            index: ``--host-index``.
            instead: Values of the options that say something else.

        Raises:
            ConfigError: No partition, not one of ``--local`` and ``--hosts`` with
                ``--host-index``, another option besides, or a file that does not say where.
        """
        if reference is None:
            raise ConfigError(
                "--local, --hosts and --host-index are for a partitioned graph.",
                "Name one by --partitions.",
            )
        for option, value in instead.items():
            if value is not None:
                raise ConfigError(
                    f"{option} and --partitions are both given.",
                    "Leave one out: a partition knows its graph, and each part has one process.",
                )
        if local == (hosts is not None) or (hosts is None) != (index is None):
            raise ConfigError(
                "--partitions needs to know where the parts are trained.",
                "Give --local, or --hosts FILE and --host-index I.",
            )
        partition = store.resolve("partition", reference)
        if hosts is None:
            summary: Mapping[str, Any] = partition.manifest.summary
            ports = _free_ports(summary["parts"])
            return cls(partition, [("127.0.0.1", port) for port in ports])
        places = read_hosts(hosts)
        if index is not None and index >= len(places):
            raise ConfigError(
                f"--host-index {index}: {hosts} names {len(places)} hosts.", "The first one is 0."
            )
        return cls(partition, places)


def read_hosts(path: Path) -> list[tuple[str, int]]:
    """Address and port of each line of a hosts file.

    Raises:
        ConfigError: It cannot be read, or names no host, a port that is none, or one twice.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--hosts {path} cannot be read: {error}.", _FORM) from error
    places: list[tuple[str, int]] = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        port = int(words[1]) if len(words) == 2 and words[1].isdecimal() else PORT
        if len(words) > 2 or words[1:] not in ([], [str(port)]) or not 1 <= port <= 65533:
            raise ConfigError(f"--hosts {path}, line {number}: {line.strip()!r}.", _FORM)
        if (words[0], port) in _taken(places):
            raise ConfigError(
                f"--hosts {path}, line {number}: port {port} of {words[0]} is in use already.",
                "The first host needs its port and the two after it.",
            )
        places.append((words[0], port))
    if not places:
        raise ConfigError(f"--hosts {path} names no host.", _FORM)
    return places


def _taken(places: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """All ports of the hosts so far; those of the first are told in `stages._bonds`."""
    return places + [(address, port + more) for address, port in places[:1] for more in (1, 2)]


def _free_ports(count: int) -> list[int]:
    """So many ports that are free, and so are the two after the first."""
    with contextlib.ExitStack() as held:

        def hold(port: int = 0) -> int:
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", port))
            return int(one.getsockname()[1])

        while True:
            first = hold()
            with contextlib.suppress(OSError, OverflowError):
                hold(first + 1)
                hold(first + 2)
                break
        return [first, *(hold() for _ in range(count - 1))]
