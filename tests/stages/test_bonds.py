from __future__ import annotations

import threading
from collections.abc import Callable
from multiprocessing.connection import wait

import pytest

from rrnet_cli.cli.hosts import _free_ports
from rrnet_cli.errors import ProcessLostError, ResourceError, RRNetError
from rrnet_cli.stages._bonds import Bonds, bonds_of


def places(count: int) -> list[tuple[str, int]]:
    return [("127.0.0.1", port) for port in _free_ports(count)]


def meet(count: int, work: Callable[[int, Bonds], None]) -> list[BaseException | None]:
    """Each host is a thread; what each raised."""
    hosts, raised = places(count), [None] * count  # type: list, list[BaseException | None]

    def host(index: int) -> None:
        try:
            with bonds_of(hosts, index, patience=20) as bonds:
                work(index, bonds)
        except RRNetError as error:
            raised[index] = error

    threads = [threading.Thread(target=host, args=(index,)) for index in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
        assert not each.is_alive()
    return raised


def listen(bonds: Bonds) -> None:
    while bonds.open:
        bonds.check(wait(list(bonds.open)))


def test_hosts_that_are_done_part_in_peace() -> None:
    def work(index: int, bonds: Bonds) -> None:
        assert len(bonds.open) == (2 if index == 0 else 1)
        bonds.part()
        listen(bonds)

    assert meet(3, work) == [None, None, None]


@pytest.mark.parametrize("lost", [0, 2])
def test_when_one_ends_all_hear_of_it(lost: int) -> None:
    def work(index: int, bonds: Bonds) -> None:
        if index != lost:
            listen(bonds)

    raised = meet(3, work)
    assert raised[lost] is None
    others = [error for index, error in enumerate(raised) if index != lost]
    assert all(isinstance(error, ProcessLostError) for error in others)
    named = raised[0] if lost else raised[1]
    assert f"Host {lost} of this training ended" in str(named)


@pytest.mark.parametrize(("index", "missing"), [(0, "Host 1, 2 did"), (1, "Host 0 did")])
def test_a_host_that_does_not_come_is_named(index: int, missing: str) -> None:
    with pytest.raises(ResourceError, match=missing), bonds_of(places(3), index, patience=0.3):
        pass
