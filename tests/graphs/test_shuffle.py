from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rrnet_cli.graphs.edges import EdgeTable
from rrnet_cli.graphs.shuffle import permute_nodes, shuffle_intra

from .strategies import edge_tables, graphs

INTRA = ("user", "intra", "user")


def weights(table: EdgeTable) -> dict[tuple[int, int], float]:
    pairs = zip(table.src.tolist(), table.dst.tolist(), strict=True)
    return dict(zip(pairs, table["weight"].tolist(), strict=True))


@given(edge_tables(INTRA, 5, 5), st.integers(0, 2**32))
def test_some_renaming_of_the_linked_nodes_gives_the_shuffled_graph(
    table: EdgeTable, seed: int
) -> None:
    linked = sorted({*table.src.tolist(), *table.dst.tolist()})
    shuffled = weights(permute_nodes(table, seed))
    names = (dict(zip(linked, order, strict=True)) for order in permutations(linked))
    assert any(
        {(to[src], to[dst]): weight for (src, dst), weight in weights(table).items()} == shuffled
        for to in names
    )


def test_hardly_a_neighbour_is_left() -> None:
    """Ten neighbours on a ring of 300: by chance an edge is an old one in 10 of 299 cases."""
    dst = np.repeat(np.arange(300), 10)
    src = (dst + np.tile(np.arange(1, 11), 300)) % 300
    ring = EdgeTable.build(src, dst, weight=np.ones(3000, np.float32))
    shuffled = [permute_nodes(ring, seed) for seed in (0, 1)]
    for table in shuffled:
        assert len(weights(ring).keys() & weights(table).keys()) < 200
        assert (np.bincount(table.dst) == 10).all()
    assert shuffled[0] == permute_nodes(ring, 0)
    assert shuffled[0] != shuffled[1]


@given(graphs(), st.integers(0, 9))
def test_inter_edges_stay_as_they_are(graph: tuple, seed: int) -> None:
    _, tables = graph
    shuffled = shuffle_intra(tables, seed)
    assert list(shuffled) == list(tables)
    for edge_type, table in tables.items():
        wanted = table if edge_type[1] == "inter" else permute_nodes(table, seed)
        assert shuffled[edge_type] == wanted
