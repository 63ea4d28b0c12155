"""What is minimised on the fitted edges, and what is measured on the select ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from rrnet_cli.datasets.base import SELECT
from rrnet_cli.training.problem import Problem
from rrnet_cli.training.sampling import Batch


def edge_cross_entropy(logits: Tensor, target: Tensor, reduction: str) -> Tensor:
    """Eq. (9): binary cross entropy of each edge, targets in [0, 1] (ratings are soft targets).

    Shapes:
        logits, target (num_supervised,) -> scalar; `reduction` is `sum` (the paper) or `mean`.
    """
    return functional.binary_cross_entropy_with_logits(logits, target, reduction=reduction)


def candidate_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of the softmax over each instance's candidates, mean over instances.

    Instances whose label is not among their candidates teach nothing here and are left out.

    Shapes:
        logits, target (num_instances, num_candidates), target 1 at the match, else 0 -> scalar.
    """
    answerable = target.sum(dim=1) > 0
    log_prob = functional.log_softmax(logits[answerable], dim=1)
    return -(log_prob * target[answerable]).sum() / answerable.sum().clamp_min(1)


def training_loss(batch: Batch, logits: Tensor, objective: str, reduction: str) -> Tensor:
    """The objective on the supervised edges.

    Args:
        batch: Gives targets and candidates, and says what is supervised.
        logits: (num_inter_edges,).
        objective: `bce` or `softmax` (classification only).
        reduction: For `bce`, `sum` or `mean`.
    """
    target, supervised = batch.target, batch.supervised
    if objective == "softmax" and batch.candidates is not None:
        rows = batch.candidates[supervised[batch.candidates[:, 0]]]
        return candidate_cross_entropy(logits[rows], target[rows])
    return edge_cross_entropy(logits[supervised], target[supervised], reduction)


def num_supervised(batch: Batch, objective: str) -> int:
    """How many edges, or instances, a mean of `training_loss` is over."""
    if objective == "softmax" and batch.candidates is not None:
        rows = batch.candidates[batch.supervised[batch.candidates[:, 0]]]
        return int((batch.target[rows].sum(dim=1) > 0).sum())
    return int(batch.supervised.sum())


def probabilities(problem: Problem, logits: Tensor, objective: str) -> Tensor:
    """P of eq. (2), or the softmax over an instance's candidates where that was trained.

    Shapes:
        (num_inter_edges,) -> (num_inter_edges,).
    """
    if objective == "softmax" and problem.candidates is not None:
        result = torch.empty_like(logits)
        result[problem.candidates] = logits[problem.candidates].softmax(dim=1)
        return result
    return logits.sigmoid()


def select_metrics(problem: Problem, prob: Tensor) -> dict[str, float]:
    """Metrics on the select split only: what models are chosen by.

    Returns:
        `select_top1` (fraction) and `select_nll` of the candidates' normalised probabilities; or
        `select_mae` and `select_rmse` on the raw rating scale. Empty without select instances.
    """
    chosen = problem.role == SELECT
    if not bool(chosen.any()):
        return {}
    if problem.scale is not None:
        low, high = problem.scale
        error = (prob[chosen] - problem.target[chosen]).double() * (high - low)
        return {
            "select_mae": float(error.abs().mean()),
            "select_rmse": float(error.square().mean().sqrt()),
        }
    assert problem.candidates is not None
    rows = problem.candidates[chosen[problem.candidates[:, 0]]]
    score, target = prob[rows].double(), problem.target[rows].double()
    right = target.gather(1, score.argmax(dim=1, keepdim=True)).squeeze(1)
    normalised = score / score.sum(dim=1, keepdim=True).clamp_min(1e-30)
    match = (normalised * target).sum(dim=1)
    return {
        "select_top1": float(right.mean()),
        "select_nll": float(-match.clamp_min(1e-7).log().mean()),
    }
