"""What the neighbours of an instance say of its candidates."""

from __future__ import annotations

import dgl
import torch
from torch import Tensor

from rrnet_cli.models.relation import Relation

SMALL = 1e-6
"""Weight below which an instance has no neighbour to vote."""


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
        ends: Left and right node of each inter-edge, both (num_inter_edges,).
        shown: (num_inter_edges,) bool.
        target: (num_inter_edges,) 1 at the match, else 0.

    Returns:
        (num_inter_edges, 1) in [0, 1]; 0 for an instance without a neighbour that votes.
    """
    left, right = ends
    num_left, num_right = neighbours.forward.num_nodes(), int(right.max()) + 1
    # one column more: whether the node votes at all
    ballots = torch.zeros(num_left, num_right + 1)
    ballots[left[shown], right[shown]] = target[shown]
    ballots[left[shown], num_right] = 1.0
    counted = dgl.ops.u_mul_e_sum(neighbours.forward, ballots, weight.clamp_min(0.0))
    share: Tensor = counted[:, :num_right] / counted[:, num_right:].clamp_min(SMALL)
    return share[left, right].unsqueeze(1)
