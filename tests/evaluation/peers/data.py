"""Small classifications with a graph, for the tests of this room."""

from dataclasses import replace

import numpy as np

from rrnet_cli.evaluation.peers import (
    appnp,
    correct_and_smooth,
    gat,
    knn,
    label_propagation,
    label_spreading,
    logreg,
    temperature,
    tip_adapter,
)
from rrnet_cli.evaluation.peers.base import ClassData
from rrnet_cli.progress import SilentReporter

PEERS = {
    peer.name: peer
    for peer in (
        temperature.PEER,
        logreg.PEER,
        logreg.PEER_PRIOR,
        knn.PEER,
        tip_adapter.PEER,
        label_spreading.PEER,
        label_propagation.PEER,
        correct_and_smooth.PEER,
        appnp.PEER,
        gat.PEER,
    )
}
TRAINED = ("appnp", "gat")
READ_SELECT = ("temperature", *TRAINED)
"""Those that look at SELECT's labels: a temperature, an epoch."""


def class_data(seed=0, num=48, classes=3, dim=6, k=4, isolated=True):
    """Half FIT, a quarter SELECT, a quarter TEST; the first node has no edge, as is allowed."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % classes
    features = (rng.normal(size=(classes, dim))[labels] + rng.normal(size=(num, dim))).astype("f4")
    features = (features - features.mean(0)) / features.std(0)
    logits = rng.normal(size=(num, classes)) + 1.5 * np.eye(classes)[labels]
    log_prior = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    near = np.argsort(-cosine, axis=1)[:, :k]
    src, dst = near.ravel(), np.repeat(np.arange(num), k)
    kept = (src != 0) & (dst != 0) if isolated else np.full(len(src), True)
    src, dst = src[kept], dst[kept]
    role = rng.permutation(np.arange(num) % 4)
    select = np.flatnonzero(role == 2)
    return ClassData(
        features=features,
        log_prior=log_prior.astype(np.float32),
        labels=np.where(role < 2, labels, -1),
        held=np.zeros(num, bool),
        select=select,
        select_labels=labels[select],
        edges=np.stack([src, dst]),
        weight=cosine[dst, src].astype(np.float32),
        candidates=np.ones((num, classes), bool),
    )


def first_params(peer):
    """The first value of each setting."""
    return {name: values[0] for name, values in peer.grid.items()}


def fit(name, data, seed=0, **params):
    """Fit a peer with the first value of each setting but those given."""
    peer = PEERS[name]
    return peer.fit(data, first_params(peer) | params, seed, SilentReporter())


def renumber(data, order):
    """The same classification with node `order[i]` as node i."""
    place = np.argsort(order)
    return replace(
        data,
        features=data.features[order],
        log_prior=data.log_prior[order],
        labels=data.labels[order],
        held=data.held[order],
        select=place[data.select],
        edges=place[data.edges],
    )


def dense_adjacency(data):
    """Symmetric weights by a plain loop."""
    result = np.zeros((len(data.features), len(data.features)))
    for src, dst, weight in zip(*data.edges, data.weight, strict=True):
        weight = max(float(weight), 0.0)
        result[dst, src] = max(result[dst, src], weight)
        result[src, dst] = max(result[src, dst], weight)
    return result


def dense_normalised(data):
    """`D^-1/2 A D^-1/2` of a dense matrix."""
    matrix = dense_adjacency(data)
    degree = matrix.sum(1)
    root = np.array([1 / np.sqrt(d) if d else 0.0 for d in degree])
    return root[:, None] * matrix * root


def dense_one_hot(data):
    """Known labels, zeros elsewhere."""
    result = np.zeros(data.log_prior.shape)
    for row, label in enumerate(data.labels):
        if label >= 0:
            result[row, label] = 1.0
    return result


def scaled(scores, data):
    """Rows scaled to sum to 1; rows of zeros become the frequencies of FIT's classes."""
    known = dense_one_hot(data)
    return np.array(
        [row / row.sum() if row.sum() else known.sum(0) / known.sum() for row in scores]
    )
