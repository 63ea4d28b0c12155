"""Label spreading by scikit-learn, on the intra graph instead of a kernel of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rrnet_cli.evaluation.peers.adjacency import symmetric_adjacency
from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.class_rows import (
    FloatArray,
    fitted_rows,
    spread_classes,
    to_probabilities,
)
from rrnet_cli.progress import Reporter

MAX_ITERATIONS = 1000
TOLERANCE = 1e-3
"""Sum of changes over all instances and classes at which the iteration ends."""


def fit(data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter) -> FloatArray:
    """The paper's limit: `F = (1 - alpha) (I - alpha S)^-1 Y`, rows scaled to sum to 1.

    The iteration, `F <- alpha S F + (1 - alpha) Y`, is step 3 of the paper's algorithm in
    scikit-learn's `LabelSpreading`. Its kernel would be dense (29 GB for 60,000 instances), so it
    is given a kernel that answers with the sparse symmetric intra graph: the same neighbours as
    RR-Net has.

    Raises:
        InputError: FIT is of fewer than two classes.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.semi_supervised import LabelSpreading

    fitted_rows(data)
    graph = symmetric_adjacency(data)
    model: Any = LabelSpreading(
        kernel=lambda _, __: graph,
        alpha=params["alpha"],
        max_iter=MAX_ITERATIONS,
        tol=TOLERANCE,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said by the note
        # It looks at the number of rows alone: the graph is given.
        model.fit(np.zeros((len(data.labels), 1)), data.labels)
    if model.n_iter_ >= MAX_ITERATIONS:
        reporter.note(f"label-spreading: stopped after {MAX_ITERATIONS} iterations")
    num_classes = data.log_prior.shape[1]
    spread = spread_classes(model.label_distributions_, model.classes_, num_classes)
    return to_probabilities(spread, data)


PEER = Peer(
    name="label-spreading",
    task="classification",
    reference="Zhou et al. 2004, Learning with Local and Global Consistency, step 3 (scikit-learn)",
    grid={"alpha": (0.01, 0.05, 0.2, 0.5, 0.8, 0.95)},
    fit=fit,
)
