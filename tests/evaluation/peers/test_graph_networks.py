"""APPNP and GAT: their forward pass against dense forms and loops, and how they are trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from rrnet_cli.evaluation.peers.appnp import APPNP
from rrnet_cli.evaluation.peers.gat import GAT
from rrnet_cli.evaluation.peers.graph_training import PATIENCE, intra_graph, train
from rrnet_cli.progress import SilentReporter
from tests.evaluation.peers.data import class_data, fit


def received(data):
    """Dense A with self-loops, row = receiver, by a loop."""
    matrix = torch.eye(len(data.labels))
    for src, dst in data.edges.T:
        matrix[dst, src] = 1.0
    return matrix


def test_graph_has_one_self_loop_a_node_and_keeps_the_direction():
    data = class_data()
    loops = np.tile(np.arange(3), (2, 1))
    graph = intra_graph(replace(data, edges=np.hstack([data.edges, loops])))
    dense = torch.zeros(len(data.labels), len(data.labels))
    src, dst = graph.edges()
    dense.index_put_((dst, src), torch.ones(len(src)), accumulate=True)
    assert torch.equal(dense, received(data))


def test_appnp_reaches_personalised_pagerank():
    """Z = alpha (I - (1 - alpha) A~)^-1 H with A~ = D_in^-1/2 (A + I) D_out^-1/2."""
    data = class_data()
    torch.manual_seed(0)
    model = APPNP(6, 3, alpha=0.2, dropout=0.5, steps=300).eval()
    features = torch.from_numpy(data.features)
    matrix = received(data)
    matrix = matrix.sum(1, keepdim=True).rsqrt() * matrix * matrix.sum(0).rsqrt()
    own = model.second(functional.relu(model.first(features)))
    expected = torch.linalg.solve(torch.eye(len(matrix)) - 0.8 * matrix, 0.2 * own)
    with torch.no_grad():
        got = model(intra_graph(data), features)
    torch.testing.assert_close(got, expected.detach(), atol=1e-4, rtol=1e-4)


def attend(layer, data, values, heads, width):
    """One attention layer, node by node and head by head (eqs. (1)-(5))."""
    mapped = layer.fc(values).view(-1, heads, width)
    result = torch.zeros_like(mapped)
    for node in range(len(values)):
        senders = [node, *data.edges[0][data.edges[1] == node].tolist()]
        for head in range(heads):
            here, there = layer.attn_r[0, head], layer.attn_l[0, head]
            score = torch.stack(
                [
                    functional.leaky_relu(
                        there @ mapped[sender, head] + here @ mapped[node, head], 0.2
                    )
                    for sender in senders
                ]
            )
            share = score.softmax(0)
            result[node, head] = sum(
                s * mapped[sender, head] for s, sender in zip(share, senders, strict=True)
            )
    return result + layer.bias.view(1, heads, width)


@torch.no_grad()
def test_gat_is_its_loop():
    data = class_data(num=16)
    torch.manual_seed(0)
    model = GAT(6, 3, dropout=0.6).eval()
    for layer in (model.first, model.second):
        torch.nn.init.normal_(layer.bias)
    features = torch.from_numpy(data.features)
    hidden = functional.elu(attend(model.first, data, model.project(features), 4, 8)).flatten(1)
    expected = attend(model.second, data, hidden, 1, 3).squeeze(1)
    torch.testing.assert_close(model(intra_graph(data), features), expected)


class Scripted(torch.nn.Module):
    """Says on SELECT, in the n-th evaluation, what the script says; each answer is its own."""

    def __init__(self, data, script):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.script, self.asked, self.data = script, 0, data

    def forward(self, graph, features):
        logits = self.weight * torch.ones(len(features), 3)
        if not self.training:
            rows = torch.from_numpy(self.data.select)
            truth = functional.one_hot(torch.from_numpy(self.data.select_labels), 3)
            logits[rows] = logits[rows] + self.script[self.asked] * truth
            self.asked += 1
        return logits


def test_the_best_epoch_on_select_answers_and_patience_ends():
    data = class_data()
    script = [1.0, 3.0, 2.0] + [0.5] * 100
    model = Scripted(data, script)
    got = train(
        lambda width, classes: model,
        data,
        weight_decay=0.0,
        seed=0,
        reporter=SilentReporter(),
        name="scripted",
    )
    assert model.asked == 2 + PATIENCE
    expected = np.exp(3) / (np.exp(3) + 2)
    np.testing.assert_allclose(got[data.select, data.select_labels], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["appnp", "gat"])
def test_training_learns(name):
    """On clouds far apart the untrained third of each class is told right."""
    data = class_data(seed=2, num=120, dim=12)
    truth = np.arange(120) % 3
    unseen = data.labels < 0
    assert (fit(name, data)[unseen].argmax(1) == truth[unseen]).mean() > 0.8
