"""How the hosts of a run know of each other: a connection of each with host 0, while both work.

DGL's client waits for ever for a server that is gone, and only the host where it ran sees it go.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rrnet_cli.errors import ProcessLostError, ResourceError

PORTS = 3
"""From its server's port on, host 0 needs so many: for the server, the trainers, the bonds."""
_PATIENCE = 600.0
"""Seconds in which all hosts must have started."""
_DONE = b"."
_SILENCE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""A host without power or network is given up after a minute."""


@dataclass
class Bonds:
    """Connections with hosts that have not said that they are done, and their numbers."""

    open: dict[socket.socket, int] = field(default_factory=dict)
    done: list[socket.socket] = field(default_factory=list)

    def check(self, ready: Sequence[Any]) -> None:
        """Hear those of `ready` that are bonds.

        Raises:
            ProcessLostError: A host ended without a word.
        """
        for each in [each for each in self.open if each in ready]:
            said = b""
            with contextlib.suppress(OSError):
                said = each.recv(1)
            if said != _DONE:
                raise ProcessLostError(
                    f"Host {self.open[each]} of this training ended before its time; all ends.",
                    "See what it says, and run the same command on all hosts again: it resumes "
                    "from the last checkpoint.",
                )
            self.done.append(each)
            del self.open[each]

    def part(self) -> None:
        """Say that this host is done."""
        for each in [*self.open, *self.done]:
            with contextlib.suppress(OSError):
                each.sendall(_DONE)

    def close(self) -> None:
        """End the connections: who was not told that all is done knows that it is not."""
        for each in [*self.open, *self.done]:
            each.close()


@contextmanager
def bonds_of(
    hosts: Sequence[tuple[str, int]], index: int | None, patience: float = _PATIENCE
) -> Iterator[Bonds]:
    """Wait for the other hosts, and close the connections in the end.

    Args:
        hosts: Address and port of each part's server.
        index: Which host this is; None where there are no others.
        patience: Seconds to wait.

    Raises:
        ResourceError: They do not come, or the port is taken.
    """
    bonds = Bonds()
    try:
        if index is not None:
            address, port = hosts[0][0], hosts[0][1] + PORTS - 1
            deadline = time.monotonic() + patience
            if index == 0:
                _await(bonds, address, port, len(hosts) - 1, deadline)
            else:
                bonds.open[_reach(address, port, index, deadline)] = 0
        yield bonds
    finally:
        bonds.close()


def _await(bonds: Bonds, address: str, port: int, others: int, deadline: float) -> None:
    try:
        with socket.create_server((address, port)) as door:
            while len(bonds.open) < others:
                door.settimeout(max(0.01, deadline - time.monotonic()))
                each = door.accept()[0]
                _watch(each)
                each.settimeout(max(0.01, deadline - time.monotonic()))
                bonds.open[each] = int.from_bytes(each.recv(2), "big")
    except TimeoutError:
        missing = sorted(set(range(1, others + 1)) - set(bonds.open.values()))
        raise _absent(", ".join(map(str, missing))) from None
    except OSError as error:
        raise ResourceError(
            f"{address}:{port} cannot be listened at: {error.strerror or error}.",
            "The first line of --hosts is for host 0: its own address, and a port p so that p to "
            f"p + {PORTS - 1} are free.",
        ) from error


def _reach(address: str, port: int, index: int, deadline: float) -> socket.socket:
    while True:
        try:
            found = socket.create_connection((address, port), timeout=5)
        except OSError:
            if time.monotonic() > deadline:
                raise _absent("0") from None
            time.sleep(0.2)
            continue
        found.sendall(index.to_bytes(2, "big"))
        _watch(found)
        return found


def _watch(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _SILENCE.items():
        if hasattr(socket, name):  # Linux
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _absent(who: str) -> ResourceError:
    return ResourceError(
        f"Host {who} did not start.",
        "Run the same command on every host within ten minutes, each with its --host-index.",
    )
