"""The intra graph as a symmetric sparse matrix, for the peers that are defined on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rrnet_cli.evaluation.peers.base import ClassData

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def symmetric_adjacency(data: ClassData) -> csr_matrix:
    """Similarity of every joined pair, whichever of the two is a neighbour of the other.

    Label spreading and Correct & Smooth are defined on undirected graphs; the k nearest neighbours
    are a directed one. A pair joined both ways keeps the higher weight. Self-loops are left out. A
    similarity below 0 counts as 0: the methods need weights that are none below 0.

    Returns:
        (N, N) float64 CSR.
    """
    from scipy.sparse import coo_matrix

    num_nodes = len(data.features)
    src, dst = data.edges
    kept = (src != dst) & (data.weight > 0)
    weight = data.weight[kept].astype(np.float64)
    received = coo_matrix((weight, (dst[kept], src[kept])), shape=(num_nodes, num_nodes)).tocsr()
    return received.maximum(received.T).tocsr()


def normalised_adjacency(data: ClassData) -> csr_matrix:
    """`D^-1/2 A D^-1/2` of the symmetric adjacency; a row of zeros for an isolated node.

    Returns:
        (N, N) float64 CSR.
    """
    from scipy.sparse import diags

    adjacency = symmetric_adjacency(data)
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    root = np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
    return (diags(root) @ adjacency @ diags(root)).tocsr()
