"""Where the parts of a partition are trained: on this machine, or on the hosts of a file."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from rrnet_cli.errors import ConfigError

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.store import Store

PORT = 30050
"""Of the servers, where the file names none."""


def parts_of(store: Store, graph: str | None, partitions: str | None) -> Artifact:
    """The partition that is named.

    Raises:
        ConfigError: None is, or a graph besides.
    """
    if partitions is None:
        raise ConfigError(
            "--local and --hosts are for a partitioned graph.", "Name one by --partitions."
        )
    if graph is not None:
        raise ConfigError(
            "A graph and --partitions are both named.",
            "Leave the graph out: a partition knows its own.",
        )
    return store.resolve("partition", partitions)


def places_of(
    partition: Artifact, local: bool, hosts: Path | None, index: int | None
) -> list[tuple[str, int]]:
    """Address and port of each part's server; the port after the first one's is the trainers'.

    Raises:
        ConfigError: Not one of ``--local`` and ``--hosts`` with ``--host-index``, or a file that
            does not say where.
    """
    if local == (hosts is not None) or (hosts is None) != (index is None):
        raise ConfigError(
            "--partitions needs to know where the parts are trained.",
            "Give --local, or --hosts FILE and --host-index I.",
        )
    if hosts is None:
        return [("127.0.0.1", port) for port in _free_ports(partition.manifest.summary["parts"])]
    try:
        lines = [line.split() for line in hosts.read_text("utf-8").splitlines() if line.strip()]
        places = [(line[0], int(line[1]) if line[1:] else PORT) for line in lines]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--hosts {hosts}: {error}.", "It needs a line `address [port]` for each part."
        ) from error
    if index is not None and index >= len(places):
        raise ConfigError(
            f"--host-index {index}: {hosts} has {len(places)} lines.", "The first one is 0."
        )
    return places


def _free_ports(count: int) -> list[int]:
    """So many ports that are free, and so is the one after the first."""
    held = []
    try:
        while True:
            first, second = socket.socket(), socket.socket()
            held += [first, second]
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            break
        ports = [port]
        for _ in range(count - 1):
            other = socket.socket()
            held.append(other)
            other.bind(("127.0.0.1", 0))
            ports.append(other.getsockname()[1])
        return ports
    finally:
        for each in held:
            each.close()
