from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrnet_cli.errors import InputError
from rrnet_cli.graphs.links import link_edges


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6))))
def test_both_directions_once_without_loops(pairs: list[tuple[int, int]]) -> None:
    links = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    table = link_edges(links, 7)
    expected = {(a, b) for a, b in pairs if a != b} | {(b, a) for a, b in pairs if a != b}
    assert set(zip(table.src.tolist(), table.dst.tolist(), strict=True)) == expected
    assert len(table) == len(expected)
    assert (table["weight"] == 1).all()


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ([[0, 1], [2, -1]], r"column 'dst', row 1: id -1 is not in 0\.\.2"),
        ([[0, 3], [2, 1]], r"column 'src', row 1: id 3 is not in 0\.\.2"),
        ([[0], [2**40]], r"column 'dst', row 0: id 1099511627776"),
    ],
)
def test_ids_out_of_range(links: list[list[int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        link_edges(np.array(links, dtype=np.int64), 3)


@pytest.mark.parametrize(
    "links", [np.zeros((2, 3), np.int32), np.zeros((3, 2), np.int64), np.zeros(4, np.int64)]
)
def test_wrong_type_or_shape(links: np.ndarray) -> None:
    with pytest.raises(InputError, match="not int64"):
        link_edges(links, 3)


def test_no_links() -> None:
    assert len(link_edges(np.empty((2, 0), np.int64), 0)) == 0
