"""Given social links as intra-edges (paper Sec. IV-C: the user graph)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.errors import InputError
from rrnet_cli.graphs.edges import EdgeTable


def link_edges(links: NDArray[np.int64], num_nodes: int) -> EdgeTable:
    """Both directions of every link, each pair once, no self-links; weight 1.

    Args:
        links: (2, num_links) int64, truster then trustee, in any order.
        num_nodes: Nodes that the ids count through.

    Raises:
        InputError: An id outside 0..num_nodes - 1; names the column and the first row.
    """
    links = np.asarray(links)
    if links.dtype != np.int64 or links.ndim != 2 or links.shape[0] != 2:
        raise InputError(f"links are {links.dtype} of shape {links.shape}, not int64 (2, links)")
    for name, ids in zip(("src", "dst"), links, strict=True):
        bad = (ids < 0) | (ids >= num_nodes)
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"links: column {name!r}, row {row}: id {ids[row]} is not in 0..{num_nodes - 1}"
            )
    one, other = links[:, links[0] != links[1]]
    pairs = np.unique(
        np.concatenate([other, one]) * num_nodes + np.concatenate([one, other])
    )  # dst * num_nodes + src, so sorted as tables are
    dst, src = np.divmod(pairs, max(num_nodes, 1))
    return EdgeTable(src, dst, {"weight": np.ones(len(pairs), np.float32)})
