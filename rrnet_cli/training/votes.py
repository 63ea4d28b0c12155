"""What the neighbours of an instance say of its candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from rrnet_cli.models.relation import Relation

SMALL = 1e-6
"""Weight below which an instance has no neighbour to vote."""
TABLE_BYTES = 2**25
"""Size of the votes that are counted together: of some instances for all labels, in float64."""


def neighbour_votes(
    neighbours: Relation,
    weight: Tensor,
    candidates: Tensor,
    label: Tensor,
    shown: Tensor,
    target: Tensor,
) -> Tensor:
    """Share of an instance's shown neighbours that match each of its candidates.

    The neighbours are those whose intra-edges it receives, weighted by similarity; one whose
    targets are not shown does not vote. An instance's own targets are not among its votes (a kNN
    graph has no loops), nor is anything that `shown` leaves out.

    Args:
        neighbours: The Intra Graph of the left modality, num_left nodes.
        weight: (num_intra_edges, 1) similarity; a negative one counts as none.
        candidates: (num_left, num_candidates) inter-edges of each instance.
        label: (num_inter_edges,) right node.
        shown: (num_inter_edges,) bool.
        target: (num_inter_edges,) 1 at the match, of which an instance has one at most, else 0.

    Returns:
        (num_inter_edges,) float32 in [0, 1]; 0 for an instance without a neighbour that votes.

    Raises:
        ValueError: The intra-edges are not in the order of their targets.
    """
    num_left, num_labels = len(candidates), int(label.max()) + 1
    # One column more: neighbours that vote, but for none of the labels that they might.
    width = num_labels + 1
    votes, choice = torch.zeros(num_left), torch.full((num_left,), num_labels)
    rows = max(1, TABLE_BYTES // (8 * width))
    spans = [slice(start, min(start + rows, num_left)) for start in range(0, num_left, rows)]
    for some in spans:
        edges = candidates[some].long()
        known = shown[edges]
        votes[some] = known.any(dim=1).float()
        instance, column = (known & (target[edges] > 0)).nonzero(as_tuple=True)
        choice[some][instance] = label[edges[instance, column]].long()
    share = torch.empty(len(label))
    for some in spans:
        heard = neighbours.received(some.start, some.stop)
        source, receiver = neighbours.ends(heard.start, heard.stop)
        place = (receiver.long() - some.start) * width + choice[source]
        cast = weight[heard, 0].clamp_min(0.0) * votes[source]
        size = (some.stop - some.start) * width
        counted = place.bincount(cast.double(), minlength=size).view(-1, width)
        counted /= counted.sum(dim=1, keepdim=True).clamp_min(SMALL)
        edges = candidates[some].long()
        share[edges] = counted.gather(1, label[edges].long()).float()
    return share
