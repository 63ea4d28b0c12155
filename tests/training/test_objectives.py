from __future__ import annotations

import math

import pytest
import torch

from rrnet_cli.datasets.base import SELECT
from rrnet_cli.training import objectives

from .problems import classification, rating


def test_edge_cross_entropy_is_equation_9() -> None:
    logits, target = torch.tensor([0.3, -2.0, 1.5]), torch.tensor([1.0, 0.0, 0.25])
    expected = 0.0
    for x, y in zip(logits.tolist(), target.tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        expected -= y * math.log(p) + (1 - y) * math.log(1 - p)
    assert float(objectives.edge_cross_entropy(logits, target, "sum")) == pytest.approx(expected)
    mean = float(objectives.edge_cross_entropy(logits, target, "mean"))
    assert mean == pytest.approx(expected / 3)


def test_candidate_cross_entropy_leaves_out_instances_without_their_label() -> None:
    logits = torch.tensor([[1.0, 2.0], [0.0, 0.0], [5.0, -5.0]])
    target = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    first = math.log(math.exp(1) + math.exp(2)) - 1
    third = math.log(math.exp(5) + math.exp(-5)) + 5
    loss = float(objectives.candidate_cross_entropy(logits, target))
    assert loss == pytest.approx((first + third) / 2)
    assert float(objectives.candidate_cross_entropy(logits[1:2], target[1:2])) == 0.0


def test_select_metrics_of_classification_against_a_loop() -> None:
    problem = classification(3)
    prob = torch.rand(len(problem.target))
    right, nll, count = 0, 0.0, 0
    for row in problem.candidates.tolist():
        if problem.role[row[0]] != SELECT:
            continue
        count += 1
        scores = [float(prob[edge]) for edge in row]
        match = [float(problem.target[edge]) for edge in row]
        right += match[scores.index(max(scores))] == 1
        share = sum(s * m for s, m in zip(scores, match, strict=True)) / sum(scores)
        nll -= math.log(max(share, 1e-7))
    metrics = objectives.select_metrics(problem, prob)
    assert metrics["select_top1"] == pytest.approx(right / count)
    assert metrics["select_nll"] == pytest.approx(nll / count, rel=1e-5)


def test_select_metrics_of_ratings_are_on_the_raw_scale() -> None:
    problem = rating(1)
    prob = torch.rand(len(problem.target))
    chosen = problem.role == SELECT
    error = [(1 + 4 * float(p)) - (1 + 4 * float(t)) for p, t in
             zip(prob[chosen], problem.target[chosen], strict=True)]  # fmt: skip
    metrics = objectives.select_metrics(problem, prob)
    assert metrics["select_mae"] == pytest.approx(sum(map(abs, error)) / len(error))
    assert metrics["select_rmse"] == pytest.approx(
        math.sqrt(sum(e * e for e in error) / len(error))
    )


def test_softmax_probabilities_sum_to_one_an_instance() -> None:
    problem = classification()
    logits = torch.randn(len(problem.target))
    prob = objectives.probabilities(problem, logits, "softmax")
    assert torch.allclose(prob[problem.candidates].sum(dim=1), torch.ones(problem.num_left))
    assert torch.equal(objectives.probabilities(problem, logits, "bce"), logits.sigmoid())
