from __future__ import annotations

from pathlib import Path

import dgl
import pytest
import torch

from rrnet_cli.errors import ConfigError
from rrnet_cli.graphs.parts import FEATURES, ROW, part_statistics, write_parts

INTER = ("user", "inter", "item")
pytestmark = pytest.mark.filterwarnings("ignore")  # DGL's own deprecations


def some_graph(num_left: int = 40, num_right: int = 20) -> dgl.DGLGraph:
    generator = torch.Generator().manual_seed(0)
    links = torch.randint(0, num_left, (2, 90), generator=generator)
    rated = torch.rand(num_left, num_right, generator=generator) < 0.3
    graph = dgl.heterograph(
        {("user", "intra", "user"): tuple(links), INTER: rated.nonzero(as_tuple=True)},
        {"user": num_left, "item": num_right},
    )
    graph.edges["intra"].data["weight"] = torch.rand(90, generator=generator)
    graph.edges["inter"].data["target"] = torch.rand(int(rated.sum()), generator=generator)
    return graph


def test_the_parts_hold_the_graph(tmp_path: Path) -> None:
    graph = some_graph()
    features = {side: torch.rand(graph.num_nodes(side), 3) for side in graph.ntypes}
    made = write_parts(graph, features, 2, tmp_path / "graph.json")
    src, dst = graph.edges(etype=INTER)
    seen = {kind: 0 for kind in (INTER, ("item", "reversed", "user"))}
    for number in range(2):
        loaded = dgl.distributed.load_partition(str(tmp_path / "graph.json"), number)
        part, node_data, edge_data = loaded[:3]
        for side in graph.ntypes:
            mine = made.node[side][made.part[side] == number]
            begin = int(mine.min())
            assert sorted(mine.tolist()) == list(range(begin, begin + len(mine)))
            assert torch.equal(
                node_data[f"{side}/{FEATURES}"][mine - begin],
                features[side][made.part[side] == number],
            )
        for kind in seen:
            row = edge_data[f"{':'.join(kind)}/{ROW}"]
            receives = (src if kind[1] == "reversed" else dst)[row]
            assert (made.part[kind[2]][receives] == number).all()
            seen[kind] += len(row)
            if kind == INTER:
                begin = int(made.row[row].min())
                assert torch.equal(made.row[row], torch.arange(begin, begin + len(row)))
                target = edge_data[f"{':'.join(kind)}/target"]
                assert torch.equal(target, graph.edges[INTER].data["target"][row])
        assert part.num_nodes() > 0
    assert set(seen.values()) == {graph.num_edges(INTER)}


def test_the_statistics_are_those_of_a_count_by_hand() -> None:
    graph = dgl.heterograph({("a", "inter", "b"): ([0, 0, 1, 2], [0, 1, 1, 1])})
    part = {"a": torch.tensor([0, 1, 1]), "b": torch.tensor([0, 1])}
    assert part_statistics(graph, part, 2) == {
        "nodes": {"a": [1, 2], "b": [1, 1]},
        "edges": {"a.inter.b": [1, 3]},
        "cut": {"a.inter.b": 1},
        "cut_share": 0.25,
        "balance": {"a": 1.333, "b": 1.0, "a.inter.b": 1.5},
    }


def test_metis_cuts_less_than_chance_and_evenly(tmp_path: Path) -> None:
    left = torch.arange(400)
    block = left % 2  # two groups with no edge between them
    src = left.repeat_interleave(10)
    dst = (2 * torch.randint(0, 100, (4000,)) + block[src]) % 200
    pairs = torch.stack([src, dst]).unique(dim=1)
    graph = dgl.heterograph({INTER: tuple(pairs)}, {"user": 400, "item": 200})
    features = {side: torch.zeros(graph.num_nodes(side), 1) for side in graph.ntypes}
    made = write_parts(graph, features, 2, tmp_path / "graph.json")
    statistics = part_statistics(graph, made.part, 2)
    assert statistics["cut_share"] < 0.1  # chance: a half
    assert max(statistics["balance"].values()) < 1.1


def test_too_many_parts_are_refused(tmp_path: Path) -> None:
    graph = some_graph(num_left=40, num_right=9)
    features = {side: torch.zeros(graph.num_nodes(side), 1) for side in graph.ntypes}
    with pytest.raises(ConfigError, match="5 parts"):
        write_parts(graph, features, 5, tmp_path / "graph.json")


def test_a_part_without_an_edge_of_some_type_is_refused(tmp_path: Path) -> None:
    graph = some_graph()
    graph = dgl.remove_edges(graph, torch.arange(1, 90), etype="intra")
    features = {side: torch.zeros(graph.num_nodes(side), 1) for side in graph.ntypes}
    with pytest.raises(ConfigError, match="no edge"):
        write_parts(graph, features, 2, tmp_path / "graph.json")
