"""Attributes of users and items: U[0,1) of 128 dimensions, learned later (paper Sec. IV-C3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def uniform_attributes(
    num_nodes: int, dim: int = 128, *, seed: int, stream: int = 0
) -> NDArray[np.float32]:
    """Draw the initial attributes of one node type.

    Args:
        num_nodes: Users or items.
        dim: Width (paper: 128).
        seed: Of the stage.
        stream: One number a node type, so that users and items do not share their draws.

    Returns:
        (num_nodes, dim) float32 in [0, 1). Row i does not depend on `num_nodes`.
    """
    return np.random.default_rng([seed, stream]).random((num_nodes, dim), dtype=np.float32)
