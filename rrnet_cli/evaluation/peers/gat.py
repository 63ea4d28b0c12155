"""GAT: two layers of attention over the intra graph."""

from __future__ import annotations

from collections.abc import Mapping

import dgl
from dgl.nn import GATConv
from torch import Tensor, nn
from torch.nn import functional

from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.class_rows import FloatArray
from rrnet_cli.evaluation.peers.graph_training import HIDDEN, train
from rrnet_cli.progress import Reporter

HEADS, HEAD_WIDTH = 4, 8


class GAT(nn.Module):
    """A linear projection, four heads of width 8 and ELU, one head of the classes' width.

    Attention is eq. (3) of the paper, the heads are side by side as in (5), and the last is (4).
    The projection is ours; the paper has eight heads.

    Args:
        width: Of the features.
        num_classes: Width of the answer.
        dropout: On both layers' inputs and on their attention.
    """

    def __init__(self, width: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(width, HIDDEN)
        self.first = GATConv(HIDDEN, HEAD_WIDTH, HEADS, dropout, dropout, activation=functional.elu)
        self.second = GATConv(HEADS * HEAD_WIDTH, num_classes, 1, dropout, dropout)

    def forward(self, graph: dgl.DGLGraph, features: Tensor) -> Tensor:
        """(N, width) -> logits (N, num_classes)."""
        hidden = self.first(graph, self.project(features)).flatten(1)
        logits: Tensor = self.second(graph, hidden).squeeze(1)
        return logits


def fit(data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter) -> FloatArray:
    """Trained on FIT, stopped on SELECT; attention is over received edges and the node itself.

    Raises:
        InputError: FIT is of fewer than two classes, or there is no SELECT instance.
    """
    return train(
        lambda width, classes: GAT(width, classes, params["dropout"]),
        data,
        weight_decay=params["weight_decay"],
        seed=seed,
        reporter=reporter,
        name="gat",
    )


PEER = Peer(
    name="gat",
    task="classification",
    reference="Velickovic et al. 2018, Graph Attention Networks, eqs. (3)-(5) (dgl.nn.GATConv)",
    grid={"dropout": (0.2, 0.6), "weight_decay": (5e-4, 5e-3)},
    fit=fit,
)
