"""What the neighbours of an instance say of its candidates."""

from __future__ import annotations

import dgl
import torch
from torch import Tensor

from rrnet_cli.models.relation import Relation

SMALL = 1e-6
"""Weight below which an instance has no neighbour to vote."""
AT_ONCE = 16
"""Labels that are counted together."""


def neighbour_votes(
    neighbours: Relation, weight: Tensor, ends: tuple[Tensor, Tensor], shown: Tensor, target: Tensor
) -> Tensor:
    """Share of an instance's shown neighbours that match each of its candidates.

    The neighbours are those whose intra-edges it receives, weighted by similarity; one whose
    targets are not shown does not vote. An instance's own targets are not among its votes (a kNN
    graph has no loops), nor is anything that `shown` leaves out.

    Args:
        neighbours: The Intra Graph of the left modality, num_left nodes.
        weight: (num_intra_edges, 1) similarity; a negative one counts as none.
        ends: Left and right node of each inter-edge, both (num_inter_edges,); right ascending.
        shown: (num_inter_edges,) bool.
        target: (num_inter_edges,) 1 at the match, else 0.

    Returns:
        (num_inter_edges,) in [0, 1]; 0 for an instance without a neighbour that votes.

    Raises:
        ValueError: The inter-edges are in another order.
    """
    left, right = ends
    if not (right[1:] >= right[:-1]).all():
        raise ValueError("inter-edges are not in the order of their right nodes")
    num_left, num_right = neighbours.forward.num_nodes(), int(right[-1]) + 1
    weight = weight.clamp_min(0.0)
    votes = torch.zeros(num_left, 1)
    votes[left[shown]] = 1.0
    heard = dgl.ops.u_mul_e_sum(neighbours.forward, votes, weight).clamp_min(SMALL)
    share = torch.empty(len(left))
    for first in range(0, num_right, AT_ONCE):  # a table of all would be larger than the graph
        bounds = torch.tensor([first, first + AT_ONCE], dtype=right.dtype)
        here = slice(*torch.searchsorted(right, bounds).tolist())
        own, label, cast = left[here], right[here] - first, shown[here]
        ballots = torch.zeros(num_left, min(AT_ONCE, num_right - first))
        ballots[own[cast], label[cast]] = target[here][cast]
        counted = dgl.ops.u_mul_e_sum(neighbours.forward, ballots, weight)
        share[here] = counted[own, label] / heard[own, 0]
    return share
