from __future__ import annotations

import numpy as np
import pytest
import torch

from rrnet_cli.models.engines import blocks, edges
from rrnet_cli.models.engines.base import SOURCE, TARGET
from rrnet_cli.models.engines.edges import EdgeIndex
from rrnet_cli.models.relation import Relation

from .relations import RELATIONS, complete, relation, some


def ends_of(index: EdgeIndex) -> tuple[np.ndarray, np.ndarray]:
    """What the kernels make of an index, edge by edge."""
    found = np.empty((2, index.num_edges), np.int32)
    for start in range(0, index.num_edges, 7):
        count = min(7, index.num_edges - start)
        block = np.empty((2, 7), np.int32)
        blocks.number_ends(*index.ends, index.grid, start, count, block)
        found[:, start : start + count] = block[:, :count]
    return found[0], found[1]


@pytest.mark.parametrize("kind", RELATIONS)
def test_an_index_names_the_ends_and_degrees_of_its_relation(kind: str) -> None:
    example: Relation = RELATIONS[kind]()
    src, dst = example.forward.edges(order="eid")
    found = ends_of(example.index)
    assert found[0].tolist() == src.tolist() and found[1].tolist() == dst.tolist()
    for side, (end, nodes) in enumerate(zip((SOURCE, TARGET), (src, dst), strict=True)):
        counted = example.counted.get(end, torch.ones(len(nodes), dtype=torch.bool))
        size = example.sizes[side]
        degree = [nodes[counted].tolist().count(node) for node in range(size)]
        further = [0.0] * (end in example.counted)
        inverse = [1 / d if d else 0.0 for d in degree] + further
        assert example.index.inverse[side].tolist() == inverse
        rows = torch.where(counted, nodes, size).tolist() if further else []
        into = example.index.into
        assert (into[side].tolist() if into is not None else []) == rows


def test_a_complete_graph_needs_no_index_and_one_that_lacks_an_edge_does() -> None:
    for by_source in (True, False):
        whole = complete(5, 4, by_source)
        assert [len(end) for end in whole.index.ends] == [0, 0]
        src, dst = (end.tolist() for end in whole.forward.edges(order="eid"))
        lacking = relation(src[:-1], dst[:-1], 5, 4).index
        twice = relation([*src[:-1], src[0]], [*dst[:-1], dst[0]], 5, 4).index
        assert [len(end) for end in lacking.ends] == [19, 19]
        assert [len(end) for end in twice.ends] == [20, 20]


@pytest.mark.parametrize("kind", RELATIONS)
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_parts_cover_the_edges_once_and_share_no_node_of_the_owned_end(
    kind: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "_SMALL", -1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    example: Relation = RELATIONS[kind]()
    parts = example.index.parts()
    assert len(parts) == threads
    assert [e for first, last in parts for e in range(first, last)] == list(
        range(example.index.num_edges)
    )
    owned = example.index.owned
    if owned is not None:
        nodes = example.forward.edges(order="eid")[owned].tolist()
        seen = [set(nodes[first:last]) for first, last in parts]
        assert sum(map(len, seen)) == len(set(nodes))


def test_small_graphs_are_not_divided() -> None:
    assert len(some("none").index.parts()) == 1
