"""APPNP: an MLP's answers, spread by personalised PageRank over the intra graph."""

from __future__ import annotations

from collections.abc import Mapping

import dgl
from dgl.nn import APPNPConv
from torch import Tensor, nn
from torch.nn import functional

from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.class_rows import FloatArray
from rrnet_cli.evaluation.peers.graph_training import HIDDEN, train
from rrnet_cli.progress import Reporter

STEPS = 10
"""K of the paper."""


class APPNP(nn.Module):
    """`Z <- (1 - alpha) A~ Z + alpha H`, K times, with H of a one-hidden-layer MLP: eq. (4).

    Its graph is undirected; here it is directed, with the degrees of both ends of an edge in A~.

    Args:
        width: Of the features.
        num_classes: Width of the answer.
        alpha: Probability of the teleport: how much of an answer is an instance's own.
        dropout: Before either linear map but the raw features, which are wide and many.
        steps: K.
    """

    def __init__(
        self, width: int, num_classes: int, alpha: float, dropout: float, steps: int = STEPS
    ) -> None:
        super().__init__()
        self.first = nn.Linear(width, HIDDEN)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(HIDDEN, num_classes)
        self.propagate = APPNPConv(steps, alpha)

    def forward(self, graph: dgl.DGLGraph, features: Tensor) -> Tensor:
        """(N, width) -> logits (N, num_classes)."""
        own = self.second(self.dropout(functional.relu(self.first(features))))
        logits: Tensor = self.propagate(graph, own)
        return logits


def fit(data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter) -> FloatArray:
    """Trained on FIT, stopped on SELECT; directed as the edges are, without their weights.

    Raises:
        InputError: FIT is of fewer than two classes, or there is no SELECT instance.
    """
    return train(
        lambda width, classes: APPNP(width, classes, params["alpha"], params["dropout"]),
        data,
        weight_decay=params["weight_decay"],
        seed=seed,
        reporter=reporter,
        name="appnp",
    )


PEER = Peer(
    name="appnp",
    task="classification",
    reference="Gasteiger et al. 2019, Predict then Propagate, eq. (4): APPNP (dgl.nn.APPNPConv)",
    grid={"alpha": (0.1, 0.3, 0.6), "dropout": (0.5,), "weight_decay": (5e-4, 5e-3)},
    fit=fit,
)
