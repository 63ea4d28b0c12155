"""Label propagation by DGL on the intra graph."""

from __future__ import annotations

from collections.abc import Mapping

import dgl
import torch
from dgl.nn import LabelPropagation

from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.class_rows import (
    FloatArray,
    fitted_rows,
    one_hot,
    to_probabilities,
)
from rrnet_cli.progress import Reporter


def fit(data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter) -> FloatArray:
    """Every instance takes the mean of the nodes it receives from; known labels are set back.

    `Y <- alpha D^-1 A Y`, then `Y = Y0` on FIT, `steps` times: the paper's algorithm as
    DGL's module has it. D counts what a node receives, so each source weighs the same; the paper's
    T divides by the sum of the *source's* weights, so that hubs weigh less, and its step 2 then
    scales rows to sum to 1. With alpha = 1 there is no decay, as in the paper; below 1 an answer
    from further away weighs less. Directed as the edges are (sources to destination) and, as DGL's
    module, without their weights.

    Raises:
        InputError: FIT is of fewer than two classes.
    """
    fitted_rows(data)
    src, dst = torch.from_numpy(data.edges)
    graph = dgl.graph((src, dst), num_nodes=len(data.labels))
    propagate = LabelPropagation(
        k=int(params["steps"]), alpha=params["alpha"], norm_type="row", reset=True
    )
    known = torch.from_numpy(one_hot(data)).float()
    spread = propagate(graph, known, mask=torch.from_numpy(data.labels >= 0))
    return to_probabilities(spread.numpy(), data)


PEER = Peer(
    name="label-propagation",
    task="classification",
    reference="Zhu & Ghahramani 2002, Label Propagation, steps 1-3; D^-1 A for T (dgl.nn)",
    grid={"alpha": (0.5, 0.8, 0.95, 1.0), "steps": (1.0, 2.0, 5.0, 50.0)},
    fit=fit,
)
