"""Approximate k nearest neighbours by an inverted file of faiss (intra-edges, large graphs).

Nodes are put into lists around centroids, and a node is compared with the members of the lists that
are nearest to it, its *probes*. How many lists is a rule of the number of nodes; how many probes is
found on a sample of nodes whose exact neighbours are searched too, and another sample says what share
of the exact neighbours is found. Candidates are measured again in float64, as the exact search does.

The same features give the same lists of neighbours again: centroids come of one thread and a fixed
seed, and a node is searched by one thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrnet_cli.errors import ResourceError
from rrnet_cli.graphs.knn import (
    MARGIN,
    Keys,
    Metric,
    Neighbours,
    nearest_neighbours,
    no_neighbours,
    prepare,
    search_rows,
)
from rrnet_cli.progress import Reporter, SilentReporter

LEAST_NODES = 1000
"""Fewer nodes are searched exactly: there would be a handful of lists."""

TARGET = 0.99
"""Share of the exact neighbours that the probes are to find, on the sample that they are chosen on."""

SAMPLE = 1000
"""Nodes whose exact neighbours are searched: every other one chooses the probes, the rest tell."""

_LISTS_PER_ROOT = 2
_POINTS_PER_LIST = 32
_ITERATIONS = 5
_FIRST_PROBES = 4
_MOST_OF_LISTS = 16
"""Of the lists, one in so many is probed at most: past that the exact search is as fast."""

_CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Found:
    """How well a search did.

    Attributes:
        recall: Share of the exact neighbours that were found; another as near as the k-th counts.
        sample: Nodes that this was measured on; 0 where the search was exact.
        lists: Lists of the inverted file; 0 where the search was exact.
        probes: How many of them a node was compared with.
    """

    recall: float
    sample: int
    lists: int
    probes: int


EXACT = Found(1.0, 0, 0, 0)


def approximate_neighbours(
    features: Tensor,
    k: int,
    *,
    metric: Metric = "cosine",
    modality: str = "node",
    reporter: Reporter | None = None,
) -> tuple[Neighbours, Found]:
    """`k` near other nodes of every node, nearly all of them the nearest; equally near: the lower id.

    Args:
        features: (num_nodes, dim) float32. The search needs their size twice more.
        k: Neighbours a node; clamped to num_nodes - 1 with a note.
        metric: As of `nearest_neighbours`.
        modality: Node type, for messages.
        reporter: Told of progress, in rows, and of the recall.

    Returns:
        Neighbour lists with their true similarities, and how complete they are. Below `LEAST_NODES`
        nodes the search is the exact one.

    Raises:
        ConfigError: `k` is below 1.
        InputError: The features are not a matrix, or hold NaN or Inf (names the first row).
        ResourceError: faiss is not installed.
    """
    reporter = reporter or SilentReporter()
    if len(features) < LEAST_NODES:
        exact = nearest_neighbours(features, k, metric=metric, modality=modality, reporter=reporter)
        return exact, EXACT
    faiss = load_faiss()
    features, k = prepare(features, k, metric, modality, reporter)
    keys = Keys(features, metric)
    sample = torch.randperm(len(keys), generator=torch.Generator().manual_seed(0))[:SAMPLE]
    with _threads(faiss, torch.get_num_threads()):
        index = _InvertedFile(faiss, keys, metric, k)
        kth = torch.empty(len(keys))
        for rows, _, similarity in search_rows(keys, sample, k):
            kth[rows] = similarity[:, -1]
        index.choose_probes(sample[::2], kth)
        neighbours = index.search_all(modality, reporter)
    told = sample[1::2]
    recall = _recall(torch.from_numpy(neighbours.similarity)[told], kth[told])
    found = Found(recall, len(told), index.lists, index.probes)
    reporter.note(
        f"{modality}: approximate neighbours, {recall:.1%} of the exact ones of {found.sample} sampled "
        f"nodes ({found.probes} of {found.lists} lists searched)"
    )
    return neighbours, found
