"""What a graph could at best give: how much of a baseline's error its edges know the answer to.

RR-Net can only mend an error whose true label is among the instance's candidates, and has a reason
to mend it where the neighbours with a known label vote for the true one. Both shares read test
labels, so they are for reports alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class OracleBound:
    """Counts over the test instances that the baseline gets wrong.

    Attributes:
        n: Test instances.
        errors: Those that the baseline gets wrong.
        among_candidates: Errors whose true label is a candidate.
        neighbours_right: Errors whose labelled neighbours vote for the true label.
    """

    n: int
    errors: int
    among_candidates: int
    neighbours_right: int

    @classmethod
    def joined(cls, parts: Sequence[OracleBound]) -> OracleBound:
        """The counts of several folds together."""
        return cls(*(sum(getattr(part, name) for part in parts) for name in cls.__annotations__))


def oracle_bound(
    labels: IntArray, predicted: IntArray, candidate: BoolArray, votes: IntArray
) -> OracleBound:
    """Count what the graph knows of the baseline's errors.

    Args:
        labels: (n,) true classes.
        predicted: (n,) the baseline's.
        candidate: (n,) whether the true class has an inter-edge.
        votes: (n,) class that the neighbours vote for, -1 for none.
    """
    wrong = predicted != labels
    return OracleBound(
        len(labels),
        int(wrong.sum()),
        int((wrong & candidate).sum()),
        int((wrong & (votes == labels)).sum()),
    )


def neighbour_votes(
    src: IntArray, dst: IntArray, weight: NDArray[Any], known: IntArray, num_classes: int
) -> IntArray:
    """The class that has the most similarity among each instance's labelled neighbours.

    Args:
        src: (E,) senders of the intra-edges: neighbours.
        dst: (E,) receivers: whose neighbours they are.
        weight: (E,) similarity; a negative one counts as none.
        known: (N,) label of each fitted instance, -1 of all others.
        num_classes: C.

    Returns:
        (N,) int64; of equal classes the lowest, -1 where no labelled neighbour is similar.
    """
    labelled = known[src] >= 0
    votes = np.zeros((len(known), num_classes))
    similarity = np.maximum(weight[labelled].astype(np.float64), 0.0)
    np.add.at(votes, (dst[labelled], known[src[labelled]]), similarity)
    return np.where(votes.max(axis=1) > 0.0, votes.argmax(axis=1), -1).astype(np.int64)
