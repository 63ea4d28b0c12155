"""Hypothesis strategies for edge tables."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from rrnet_cli.graphs.edges import NONE, TEST, EdgeTable, EdgeType

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def edge_tables(draw: st.DrawFn, edge_type: EdgeType, num_src: int, num_dst: int) -> EdgeTable:
    """A valid table of the type, given in random order; possibly empty, self-loops included."""
    pair = st.tuples(st.integers(0, num_src - 1), st.integers(0, num_dst - 1))
    pairs = draw(st.lists(pair, unique=True, max_size=20)) if num_src and num_dst else []
    count = len(pairs)

    def floats() -> np.ndarray:
        return np.array(draw(st.lists(FLOATS, min_size=count, max_size=count)), np.float32)

    columns = {"weight": floats()}
    if edge_type[1] == "inter":
        role = draw(st.lists(st.integers(0, NONE), min_size=count, max_size=count))
        columns |= {"prior": floats(), "target": floats(), "role": np.array(role, np.int8)}
        columns["target"][np.isin(columns["role"], (TEST, NONE))] = np.nan
    src, dst = np.array(pairs, np.int64).reshape(-1, 2).T
    return EdgeTable.build(src, dst, **columns)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, int], dict[EdgeType, EdgeTable]]:
    """Node counts (isolated nodes included) and tables of some of the three edge types."""
    num_nodes = {"audio": draw(st.integers(1, 6)), "text": draw(st.integers(1, 4))}
    types = [("audio", "inter", "text")]
    types += draw(
        st.lists(
            st.sampled_from([("audio", "intra", "audio"), ("text", "intra", "text")]), unique=True
        )
    )
    tables = {t: draw(edge_tables(t, num_nodes[t[0]], num_nodes[t[2]])) for t in types}
    return num_nodes, tables
