"""Neighbour lists extended to new nodes, without a search of what is known already.

New nodes are searched exactly against all nodes. A list of a known node changes only where a new
node is nearer than the last one on it, which a matrix product of known and new nodes screens, and
float64 decides. Where the known lists were exact the result has the edges of a search of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rrnet_cli.graphs.keys import Keys, Metric
from rrnet_cli.graphs.knn import Neighbours, prepare, search_rows
from rrnet_cli.progress import Reporter, SilentReporter

_MOST_PAIRS = 2**20
"""Known and new nodes of one block are at most so many pairs, should all have to be measured."""


@dataclass(frozen=True)
class Known:
    """Neighbour lists of some nodes among themselves.

    Attributes:
        nodes: (num_known,) int64, ascending.
        index: (num_known, min(k, num_known - 1)) int64, ids among all nodes, nearest first.
        similarity: Of the same shape, float32.
    """

    nodes: Tensor
    index: Tensor
    similarity: Tensor


def extend_neighbours(
    features: Tensor,
    k: int,
    known: Known,
    *,
    metric: Metric = "cosine",
    modality: str = "node",
    reporter: Reporter | None = None,
) -> Neighbours:
    """The `k` nearest other nodes of every node, given the lists of some among themselves.

    Time grows with new nodes times all nodes. A known list that no new node enters stays as given.

    Args:
        features: (num_nodes, dim) float32; those of known nodes must be as when they were searched.
        k: Neighbours a node; clamped to num_nodes - 1 with a note. That of the known lists.
        known: The lists that there are.
        metric: As of `nearest_neighbours`, and of the known lists.
        modality: Node type, for messages.
        reporter: Told of progress, in rows.

    Raises:
        ConfigError: `k` is below 1.
        InputError: The features are not a matrix, or hold NaN or Inf (names the first row).
        ValueError: The known lists are of another `k`.
    """
    reporter = reporter or SilentReporter()
    features, k = prepare(features, k, metric, modality, reporter)
    wanted = (len(known.nodes), min(k, max(len(known.nodes) - 1, 0)))
    if known.index.shape != wanted:
        raise ValueError(f"known lists have shape {tuple(known.index.shape)}, not {wanted}")
    num_nodes = len(features)
    if len(known.nodes) == num_nodes:  # nothing is new, or nobody has a neighbour
        return Neighbours(known.index.numpy(), known.similarity.numpy())
    keys = Keys(features, metric)
    index, similarity = torch.empty(num_nodes, k, dtype=torch.int64), torch.empty(num_nodes, k)
    is_new = torch.ones(num_nodes, dtype=torch.bool)
    is_new[known.nodes] = False
    new = is_new.nonzero().squeeze(1)
    points = keys.points[new]
    size = max(1, _MOST_PAIRS // len(new))
    with reporter.task(f"neighbours of {modality}", num_nodes, unit="rows") as task:
        for rows, near, nearness in search_rows(keys, new, k):
            index[rows], similarity[rows] = near, nearness
            task.advance(len(rows))
        lists = (part.split(size) for part in (known.nodes, known.index, known.similarity))
        for rows, near, nearness in zip(*lists, strict=True):
            index[rows], similarity[rows] = _merge(keys, rows, near, nearness, (new, points), k)
            task.advance(len(rows))
    return Neighbours(index.numpy(), similarity.numpy())


def _merge(
    keys: Keys, rows: Tensor, near: Tensor, nearness: Tensor, added: tuple[Tensor, Tensor], k: int
) -> tuple[Tensor, Tensor]:
    """The lists of some known nodes, with the new nodes that belong on them.

    Args:
        keys: All nodes.
        rows: (num_rows,) int64.
        near: (num_rows, at most k) int64, their lists.
        nearness: Similarities of these, float32.
        added: New nodes (num_new,) int64, ascending, and their points (num_new, dim).
        k: Length of a list.

    Returns:
        Ids (num_rows, k) int64 and similarities float32, nearest first.
    """
    new = added[0]
    if near.shape[1] < k:  # all the known there are: whatever is new may belong
        at, column = torch.ones(len(rows), len(new)).nonzero(as_tuple=True)
        index, similarity = near.new_empty(len(rows), k), nearness.new_empty(len(rows), k)
    else:
        at, column = _nearer(keys, rows, nearness[:, -1], added[1])
        index, similarity = near.clone(), nearness.clone()
    if not len(at):
        return index, similarity
    touched, place = at.unique(return_inverse=True)
    listed = nearness[touched]
    # A distance is not told by its similarity to the last bit.
    cosine = keys.metric == "cosine"
    listed_key = -listed if cosine else keys.compare(rows[touched], near[touched])[0]
    entering_key, entering = keys.compare(rows[at], new[column].unsqueeze(1))
    owner = torch.cat([torch.arange(len(touched)).repeat_interleave(near.shape[1]), place])
    ids = torch.cat([near[touched].flatten(), new[column]])
    key = torch.cat([listed_key.flatten(), entering_key.flatten()])
    order = torch.from_numpy(np.lexsort((ids.numpy(), key.numpy(), owner.numpy())))
    counts = owner.bincount(minlength=len(touched))
    first = counts.cumsum(0) - counts
    chosen = order[(first.unsqueeze(1) + torch.arange(k)).flatten()]
    index[touched] = ids[chosen].view(-1, k)
    values = torch.cat([listed.flatten(), entering.flatten()])
    similarity[touched] = values[chosen].view(-1, k)
    return index, similarity


def _nearer(keys: Keys, rows: Tensor, weakest: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Which new nodes may be as near as the last one of a list: rows and columns of the pairs.

    A product of `dim` float32 is off by less than dim 2^-23 times the lengths of both; points are
    rounded to float32 themselves, and so are similarities.

    Args:
        keys: All nodes.
        rows: (num_rows,) int64, whose lists these are.
        weakest: (num_rows,) float32, the lowest similarity on each.
        there: (num_new, dim), the points of new nodes.
    """
    here = keys.points[rows]
    product = here @ there.T
    doubt = (here.shape[1] + 8) * 2.0**-22
    if keys.metric == "cosine":
        bound = weakest - doubt
    else:  # |a - b|^2 <= reach^2 is a b - |b|^2 / 2 >= (|a|^2 - reach^2) / 2
        square, other = (part.double().square().sum(dim=1) for part in (here, there))
        reach = (1.0 / (weakest.double() * (1.0 - 2.0**-22)) - 1.0) * keys.unit
        bound = (square - reach.square() * (1.0 + 2.0**-20)) / 2 - doubt * (square + other.amax())
        product -= (other / 2).float()
    at, column = (product >= bound.float().unsqueeze(1)).nonzero(as_tuple=True)
    return at, column
