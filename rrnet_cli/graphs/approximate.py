"""Approximate k nearest neighbours by an inverted file of faiss (intra-edges, large graphs).

Nodes are put into lists around centroids, and a node is compared with the members of the lists
that are nearest to it, its *probes*. How many lists is a rule of the number of nodes; how many
probes is found on a sample of nodes whose exact neighbours are searched too, and another sample
says what share of the exact neighbours is found. Candidates are measured again in float64, as the
exact search does.

The same features give the same neighbours again: centroids come of one thread and a fixed seed, and
a node is searched by one thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rrnet_cli.errors import ResourceError
from rrnet_cli.graphs.keys import Keys, Metric
from rrnet_cli.graphs.knn import (
    MARGIN,
    Neighbours,
    nearest_neighbours,
    prepare,
    search_rows,
)
from rrnet_cli.progress import Reporter, SilentReporter

LEAST_NODES = 5000
"""Fewer nodes are searched exactly, which is as fast."""

TARGET = 0.99
"""Share of the exact neighbours that probes are to find, on the sample that chooses them."""

SAMPLE = 1000
"""Nodes whose exact neighbours are searched: every other one chooses the probes, the rest tell."""

_LISTS_PER_ROOT = 4
_POINTS_PER_LIST = 32
_ITERATIONS = 5
_SEED = 0
_FIRST_PROBES = 4
_ONE_LIST_IN = 16
"""One list in so many is probed at most, TARGET or not: past that the exact search is as fast."""

_CHUNK_ROWS = 4096


@dataclass(frozen=True)
class Found:
    """How well a search did.

    Attributes:
        recall: Share of the exact neighbours that were found; another as near as the k-th counts.
        sample: Nodes that this was measured on.
        lists: Lists of the inverted file.
        probes: How many of them a node was compared with.
    """

    recall: float
    sample: int
    lists: int
    probes: int


def approximate_neighbours(
    features: Tensor,
    k: int,
    *,
    metric: Metric = "cosine",
    modality: str = "node",
    reporter: Reporter | None = None,
) -> tuple[Neighbours, Found | None]:
    """`k` near other nodes of every node, nearly all of them the nearest.

    Of candidates equally near the lower id comes first; one that no probed list holds is not seen.

    Args:
        features: (num_nodes, dim) float32. The search needs one and a half times their memory, and
            what the exact search needs for a block.
        k: Neighbours a node; clamped to num_nodes - 1 with a note.
        metric: As of `nearest_neighbours`.
        modality: Node type, for messages.
        reporter: Told of progress, in rows, and of the recall.

    Returns:
        Neighbour lists with their true similarities, and how complete they are: None below
        `LEAST_NODES` nodes, which are searched exactly.

    Raises:
        ConfigError: `k` is below 1.
        InputError: The features are not a matrix, or hold NaN or Inf (names the first row).
        ResourceError: faiss is not installed.
    """
    reporter = reporter or SilentReporter()
    if len(features) < LEAST_NODES:
        exact = nearest_neighbours(features, k, metric=metric, modality=modality, reporter=reporter)
        return exact, None
    faiss = load_faiss()
    features, k = prepare(features, k, metric, modality, reporter)
    keys = Keys(features, metric)
    sample = _sample(len(keys))
    kth = _kth_similarity(keys, sample, k)
    with _threads(faiss, torch.get_num_threads()):
        lists = _InvertedFile(faiss, keys, metric, k)
        lists.choose_probes(sample[::2], kth)
        neighbours = lists.search_all(modality, reporter)
    told = sample[1::2]
    recall = _share_found(torch.from_numpy(neighbours.similarity)[told], kth[told])
    found = Found(round(recall, 6), len(told), lists.count, lists.probes)
    reporter.note(
        f"{modality}: approximate search, {recall:.1%} of the exact neighbours of {found.sample:,} "
        f"sampled nodes found ({found.probes} of {found.lists:,} lists probed)"
    )
    return neighbours, found


def measure_recall(
    features: Tensor, neighbours: Neighbours, *, metric: Metric = "cosine"
) -> tuple[float, int]:
    """How complete some lists are, as `Found` has it.

    Args:
        features: (num_nodes, dim) float32.
        neighbours: The lists, k at least 1.
        metric: What is near.

    Returns:
        The recall, and the number of sampled nodes that it was measured on.
    """
    keys = Keys(features.to(torch.float32), metric)
    told = _sample(len(keys))[1::2]
    kth = _kth_similarity(keys, told, neighbours.index.shape[1])[told]
    recall = _share_found(torch.from_numpy(neighbours.similarity)[told], kth)
    return round(recall, 6), len(told)


def load_faiss() -> Any:
    """The library of the extra `knn`.

    Raises:
        ResourceError: It is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise ResourceError(
            "approximate neighbours need the library faiss-cpu",
            "pip install 'rrnet[knn]', or pass --knn exact",
        ) from error
    return faiss


class _InvertedFile:
    """All nodes in lists around centroids, half-precision: what is found is measured again."""

    def __init__(self, faiss: Any, keys: Keys, metric: Metric, k: int) -> None:
        self._faiss, self._keys, self._k = faiss, keys, k
        self.probes = _FIRST_PROBES
        self.count = int(_LISTS_PER_ROOT * math.sqrt(len(keys)))
        points = keys.points.numpy()
        width = points.shape[1]
        cosine = metric == "cosine"
        self._index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(width) if cosine else faiss.IndexFlatL2(width),
            width,
            self.count,
            faiss.ScalarQuantizer.QT_fp16,
            faiss.METRIC_INNER_PRODUCT if cosine else faiss.METRIC_L2,
            False,
        )
        clustering = self._index.cp
        clustering.seed = _SEED
        clustering.niter = _ITERATIONS
        clustering.spherical = cosine
        clustering.max_points_per_centroid = _POINTS_PER_LIST
        clustering.min_points_per_centroid = 1
        with _threads(faiss, 1):
            self._index.train(points)
        self._index.add(points)

    def choose_probes(self, rows: Tensor, kth: Tensor) -> None:
        """Double the probes until they find `TARGET` of what is near, or are too many.

        Args:
            rows: (num_rows,) int64, the nodes to try.
            kth: (num_nodes,) float32, the similarity of each one's k-th exact neighbour.
        """
        most = max(_FIRST_PROBES, self.count // _ONE_LIST_IN)
        while True:
            _, similarity = self._search(rows)
            if _share_found(similarity, kth[rows]) >= TARGET or 2 * self.probes > most:
                return
            self.probes *= 2

    def search_all(self, modality: str, reporter: Reporter) -> Neighbours:
        """The neighbours of every node, those of one list after another: they probe the same."""
        num_nodes, k = len(self._keys), self._k
        index, similarity = torch.empty(num_nodes, k, dtype=torch.int64), torch.empty(num_nodes, k)
        with reporter.task(f"neighbours of {modality}", num_nodes, unit="rows") as task:
            for rows in self._order().split(_CHUNK_ROWS):
                index[rows], similarity[rows] = self._search(rows)
                task.advance(len(rows))
        return Neighbours(index.numpy(), similarity.numpy())

    def _order(self) -> Tensor:
        lists = self._index.invlists
        members = (
            self._faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number))
            for number in range(self.count)
        )
        return torch.from_numpy(np.concatenate([ids.astype(np.int64) for ids in members]))

    def _search(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbours (num_rows, k) int64 and similarities float32 of some nodes, nearest first."""
        self._index.nprobe = self.probes
        count = min(self._k + MARGIN, len(self._keys) - 1)
        _, ids = self._index.search(self._keys.points[rows].numpy(), count + 1)
        candidates = torch.from_numpy(ids)
        # A node finds itself, unless more others than there is room for equal it.
        own = candidates == rows.unsqueeze(1)
        own[~own.any(dim=1), -1] = True
        candidates = candidates[~own].view(len(rows), count).sort(dim=1).values
        index, similarity = self._keys.nearest(rows, candidates.clamp_min(0), self._k)
        lacking = (candidates[:, 0] < 0).nonzero().squeeze(1)
        if len(lacking):  # the probed lists hold too few: faiss fills up with -1
            blocks = list(search_rows(self._keys, rows[lacking], self._k))
            index[lacking] = torch.cat([near for _, near, _ in blocks])
            similarity[lacking] = torch.cat([nearness for *_, nearness in blocks])
        return index, similarity


def _sample(num_nodes: int) -> Tensor:
    """Nodes whose exact neighbours are searched; every other one only tells of the recall."""
    return torch.randperm(num_nodes, generator=torch.Generator().manual_seed(_SEED))[:SAMPLE]


def _kth_similarity(keys: Keys, rows: Tensor, k: int) -> Tensor:
    """Of each of `rows` the similarity to its k-th exact neighbour: (num_nodes,) float32."""
    kth = torch.empty(len(keys))
    for block, _, similarity in search_rows(keys, rows, k):
        kth[block] = similarity[:, -1]
    return kth


def _share_found(similarity: Tensor, kth: Tensor) -> float:
    """Share of neighbours (num_rows, k) at least as near as the exact k-th one (num_rows,)."""
    return float((similarity >= kth.unsqueeze(1)).double().mean())


@contextmanager
def _threads(faiss: Any, number: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(number)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
