"""How the trained graph networks are trained: full batch, Adam, early stopping on SELECT."""

from __future__ import annotations

from collections.abc import Callable

import dgl
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rrnet_cli.evaluation.peers.base import ClassData
from rrnet_cli.evaluation.peers.class_rows import FloatArray, fitted_rows
from rrnet_cli.progress import Reporter

HIDDEN = 64
"""Width of the first linear map: everything that follows is this narrow."""

LEARNING_RATE = 0.01
EPOCHS = 200
PATIENCE = 20
"""Epochs without a lower negative log-likelihood on SELECT before training ends."""


def intra_graph(data: ClassData) -> dgl.DGLGraph:
    """The intra-edges, sources to destinations, and exactly one self-loop a node.

    So an isolated node hears itself, and an instance never loses its own features.
    """
    src, dst = torch.from_numpy(data.edges)
    graph = dgl.graph((src, dst), num_nodes=len(data.features))
    return dgl.add_self_loop(dgl.remove_self_loop(graph))


def train(
    build: Callable[[int, int], nn.Module],
    data: ClassData,
    *,
    weight_decay: float,
    seed: int,
    reporter: Reporter,
    name: str,
    epochs: int = EPOCHS,
) -> FloatArray:
    """Train on the cross entropy of FIT and answer as the epoch did that was best on SELECT.

    Args:
        build: Width of features and number of classes to a module of (graph, features).
        data: The features are the inputs; no label is one.
        weight_decay: L2 of Adam, on all parameters.
        seed: Of initial weights and dropout; the global generator is left as it was.
        reporter: Told of every epoch.
        name: Of the peer, for messages.
        epochs: At most so many.

    Raises:
        InputError: FIT is of fewer than two classes.
    """
    rows, select = torch.from_numpy(fitted_rows(data)), torch.from_numpy(data.select)
    targets = torch.from_numpy(data.labels)[rows]
    select_targets = torch.from_numpy(data.select_labels)
    features, graph = torch.from_numpy(data.features), intra_graph(data)
    best, waited = float("inf"), 0
    answer = torch.empty(0)
    with torch.random.fork_rng(devices=[]), reporter.task(name, epochs, unit="epochs") as task:
        torch.manual_seed(seed)
        model = build(features.shape[1], data.log_prior.shape[1])
        optimizer = torch.optim.Adam(
            model.parameters(), lr=LEARNING_RATE, weight_decay=weight_decay
        )
        for _ in range(epochs):
            _step(model, graph, features, rows, targets, optimizer)
            logits = _predict(model, graph, features)
            loss = float(functional.cross_entropy(logits[select], select_targets))
            task.advance(status=f"select nll {loss:.3f}")
            waited += 1
            if loss < best:
                best, waited, answer = loss, 0, logits
            elif waited >= PATIENCE:
                break
    return np.asarray(answer.double().softmax(dim=1).numpy())


def _step(
    model: nn.Module,
    graph: dgl.DGLGraph,
    features: Tensor,
    rows: Tensor,
    targets: Tensor,
    optimizer: torch.optim.Optimizer,
) -> None:
    model.train()
    optimizer.zero_grad(set_to_none=True)
    functional.cross_entropy(model(graph, features)[rows], targets).backward()
    optimizer.step()


@torch.no_grad()
def _predict(model: nn.Module, graph: dgl.DGLGraph, features: Tensor) -> Tensor:
    model.eval()
    logits: Tensor = model(graph, features)
    return logits
