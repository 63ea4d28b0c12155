from __future__ import annotations

import dgl
import pytest
import torch

from rrnet_cli.datasets.base import FIT
from rrnet_cli.models.relation import Relation
from rrnet_cli.training import votes as votes_module
from rrnet_cli.training.draws import draw
from rrnet_cli.training.votes import neighbour_votes

from .problems import PLUS_SMALL, classification, rating, small


def by_hand(problem, known: torch.Tensor) -> torch.Tensor:
    """One edge at a time."""
    intra = problem.relations["left"].forward
    source, target = (ids.tolist() for ids in intra.edges(order="eid"))
    weight = problem.edge_weight["left"].flatten().tolist()
    left, right = (ids.tolist() for ids in problem.relations["inter"].forward.edges(order="eid"))
    edge_of = {pair: edge for edge, pair in enumerate(zip(left, right, strict=True))}
    votes = []
    for i, c in zip(left, right, strict=True):
        matching = total = 0.0
        for j, end, w in zip(source, target, weight, strict=True):
            if end != i or not any(known[e] for (n, _), e in edge_of.items() if n == j):
                continue
            total += w
            if (j, c) in edge_of:
                matching += w * float(problem.target[edge_of[j, c]])
        votes.append(matching / total if total else 0.0)
    return torch.tensor(votes)


@pytest.mark.parametrize("rows", [1, 7, 100])
@pytest.mark.parametrize("labels, candidates", [(4, 3), (35, 30)])
def test_votes_are_the_weighted_share_of_shown_neighbours(
    labels: int, candidates: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = classification(num_left=20, num_labels=labels, num_candidates=candidates)
    monkeypatch.setattr(votes_module, "TABLE_BYTES", rows * 8 * (labels + 1))
    torch.manual_seed(0)
    known = draw(problem, small(**PLUS_SMALL)).known
    votes = problem.votes(known)
    torch.testing.assert_close(votes, by_hand(problem, known))
    assert 0 < int((votes > 0).sum()) < len(votes)


CANDIDATES = torch.tensor([[0, 2], [1, 4], [3, 5]])
"""Of three instances: the inter-edges 0 and 1 are of label 0, 2 and 3 of 1, 4 and 5 of 2."""
LABEL = torch.tensor([0, 0, 1, 1, 2, 2])


def test_without_a_neighbour_that_votes_there_is_no_vote() -> None:
    graph = Relation.of(dgl.graph(([1, 0], [0, 1]), num_nodes=3))
    shown = torch.tensor([True, False, True, True, False, True])
    target = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    votes = neighbour_votes(graph, torch.full((2, 1), 0.5), CANDIDATES, LABEL, shown, target)
    assert votes.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    against = neighbour_votes(graph, torch.full((2, 1), -1.0), CANDIDATES, LABEL, shown, target)
    assert not against.any()


def test_a_neighbour_without_a_match_votes_for_none() -> None:
    graph = Relation.of(dgl.graph(([1, 2, 0, 0], [0, 0, 1, 2]), num_nodes=3))
    target = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    weight = torch.tensor([[0.25], [0.75], [1.0], [1.0]])
    shown = torch.ones(6, dtype=torch.bool)
    votes = neighbour_votes(graph, weight, CANDIDATES, LABEL, shown, target)
    assert votes.tolist() == [0.25, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_edges_in_another_order_are_refused() -> None:
    graph = Relation.of(dgl.graph(([0, 1], [1, 0]), num_nodes=3))
    shown = torch.ones(6, dtype=torch.bool)
    with pytest.raises(ValueError, match="order of their targets"):
        neighbour_votes(graph, torch.ones(2, 1), CANDIDATES, LABEL, shown, torch.ones(6))


def test_a_vote_reads_no_target_that_is_not_shown() -> None:
    settings = small(**PLUS_SMALL, votes=True)
    problem = classification()
    torch.manual_seed(1)
    drawn = draw(problem, settings)

    def given() -> torch.Tensor:
        inputs = problem.inputs(settings, drawn.known, problem.node_feat, drawn.prior)
        return inputs.edge_inputs["inter"][:, -1]

    before = given()
    hidden = ~drawn.known
    problem.target[hidden] = 1 - problem.target[hidden]
    assert torch.equal(before, given())
    problem.target[drawn.known] = 1 - problem.target[drawn.known]
    assert not torch.equal(before, given())


def test_votes_are_for_classes_with_neighbours() -> None:
    settings = small(**PLUS_SMALL, votes=True)
    for problem, columns in ((classification(), 4), (rating(), 3)):
        known = problem.role == FIT
        inputs = problem.inputs(settings, known, problem.node_feat, problem.prior)
        assert inputs.edge_inputs["inter"].shape[1] == columns
