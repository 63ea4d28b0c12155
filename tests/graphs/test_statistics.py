from __future__ import annotations

import json

import numpy as np

from rrnet_cli.graphs.candidates import top_candidates
from rrnet_cli.graphs.edges import FIT, HOLD, SELECT, TEST, EdgeTable
from rrnet_cli.graphs.statistics import (
    candidate_recall,
    degree_quantiles,
    graph_statistics,
    homophily,
)

INTRA = ("audio", "intra", "audio")
INTER = ("audio", "inter", "text")
LABELS = np.array([0, 0, 1, 1, 0])
ROLES = np.array([FIT, FIT, FIT, SELECT, TEST], dtype=np.int8)


def intra() -> EdgeTable:
    src, dst = np.array([1, 2, 0, 3, 4, 0]), np.array([0, 0, 1, 2, 1, 4])
    return EdgeTable.build(src, dst, weight=np.ones(6, np.float32))


def inter() -> EdgeTable:
    logits = np.array([[2, 1, 0], [0, 1, 2], [0, 1, 2], [0, 2, 1], [2, 1, 0]], dtype=np.float32)
    return top_candidates(logits, 1).to_edges(LABELS, ROLES)


def test_homophily_counts_fit_pairs_only() -> None:
    # fit pairs: 1->0 (equal), 2->0 (not), 0->1 (equal)
    assert homophily(intra(), LABELS, ROLES) == 2 / 3
    assert homophily(intra(), LABELS, np.full(5, TEST, np.int8)) is None


def test_recall_by_role() -> None:
    # fit: 0 has its label, 1 and 2 have not; select: 3 has
    assert candidate_recall(inter(), ROLES, FIT) == 1 / 3
    assert candidate_recall(inter(), ROLES, SELECT) == 1.0
    assert candidate_recall(inter(), np.zeros(5, np.int8), SELECT) is None


def test_recall_of_held_instances_is_told_where_there_are_any() -> None:
    roles = np.where(ROLES == SELECT, HOLD, ROLES).astype(np.int8)
    logits = np.eye(3, dtype=np.float32)[[0, 2, 2, 1, 0]]
    tables = {INTER: top_candidates(logits, 1).to_edges(LABELS, roles)}
    record = graph_statistics({"audio": 5, "text": 3}, tables, labels=LABELS, roles=roles)
    assert record["recall"]["audio.inter.text"] == {"fit": 1 / 3, "select": None, "hold": 1.0}


def test_degree_quantiles() -> None:
    found = degree_quantiles(np.array([0, 0, 0, 1, 3]), 5)
    assert found == {"min": 0, "p10": 0, "p50": 1, "p90": 2.2, "max": 3, "isolated": 2}
    assert degree_quantiles(np.array([], np.int64), 3)["isolated"] == 3
    assert degree_quantiles(np.array([], np.int64), 0)["max"] is None


def test_whole_record_is_json_and_blind_to_test_labels() -> None:
    num_nodes = {"audio": 5, "text": 3}
    tables = {INTRA: intra(), INTER: inter()}
    record = graph_statistics(num_nodes, tables, labels=LABELS, roles=ROLES)
    assert json.loads(json.dumps(record)) == record
    assert record["nodes"] == num_nodes
    assert record["edges"] == {"audio.intra.audio": 6, "audio.inter.text": 5}
    assert record["degrees"]["audio.intra.audio"]["isolated"] == 1
    assert record["degrees"]["audio.inter.text"]["from"]["min"] == 1
    other = np.where(ROLES == TEST, 1 - LABELS, LABELS)
    assert graph_statistics(num_nodes, tables, labels=other, roles=ROLES) == record


def test_self_loops_are_counted() -> None:
    nodes = np.array([0, 2])
    table = EdgeTable.build(nodes, nodes, weight=np.ones(2, np.float32))
    record = graph_statistics({"audio": 3}, {INTRA: table})
    assert record["degrees"]["audio.intra.audio"]["self_loops"] == 2
    assert "homophily" not in record
