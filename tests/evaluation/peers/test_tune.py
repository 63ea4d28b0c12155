"""Tuning on select, and the registry."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.registry import PEERS, peers
from rrnet_cli.evaluation.peers.tune import select_metrics, tune
from rrnet_cli.progress import SilentReporter
from tests.evaluation.peers.data import class_data
from tests.evaluation.peers.test_ratings import tiny


def constant(grid: dict[str, tuple[float, ...]]) -> Peer:
    return Peer(
        "constant", "rating", "none", grid,
        lambda data, params, seed, reporter: lambda user, item: np.full(len(user), params["value"]),
    )  # fmt: skip


def test_the_best_value_on_select_is_chosen_and_all_trials_are_kept() -> None:
    data = tiny()
    values = (1.0, 3.0, 5.0, np.nan)
    tuned = tune(constant({"value": values}), data, 0, SilentReporter())
    rmse = {v: np.sqrt(np.square(v - data.select_rating).mean()) for v in values[:3]}
    assert tuned.params == {"value": min(rmse, key=rmse.__getitem__)}
    assert [trial["value"] for trial in tuned.trials[:3]] == list(values[:3])
    assert [t["select_rmse"] for t in tuned.trials[:3]] == pytest.approx(list(rmse.values()))
    assert np.isnan(tuned.trials[3]["select_rmse"])


def test_a_peer_that_never_answers_is_refused() -> None:
    with pytest.raises(ConfigError, match="no finite prediction"):
        tune(constant({"value": (np.nan,)}), tiny(), 0, SilentReporter())


def test_class_metrics_floor_the_probability() -> None:
    nothing = np.zeros((0,), np.int64)
    data = ClassData(
        np.zeros((3, 1), np.float32), np.zeros((3, 2), np.float32), np.array([0, -1, -1]),
        np.zeros(3, bool), np.array([1, 2]), np.array([1, 0]), np.zeros((2, 0), np.int64),
        nothing.astype(np.float32), np.ones((3, 2), bool),
    )  # fmt: skip
    prediction = np.array([[1.0, 0.0], [0.25, 0.75], [0.0, 1.0]])
    metrics = select_metrics(data, prediction)
    assert metrics["select_top1"] == 0.5
    assert metrics["select_nll"] == pytest.approx(-(np.log(0.75) + np.log(1e-7)) / 2)


def test_a_class_that_is_not_answered_leaves_the_whole_setting_out() -> None:
    data = class_data(num=8)
    prediction = np.full((8, 3), 1 / 3)
    prediction[data.select[0], 2] = np.nan
    assert np.isnan(list(select_metrics(data, prediction).values())).all()


def test_an_answer_counts_among_the_candidates_alone() -> None:
    data = class_data(num=8)
    prediction = np.tile([0.5, 0.3, 0.2], (8, 1))
    first, second = data.select[:2]
    candidates = data.candidates.copy()
    candidates[first, 0] = candidates[second, 0] = False
    labels = data.select_labels.copy()
    labels[:2] = 1, 0
    data = replace(data, candidates=candidates, select=data.select[:2], select_labels=labels[:2])
    metrics = select_metrics(data, prediction)
    assert metrics["select_top1"] == 0.5
    assert metrics["select_nll"] == pytest.approx(-(np.log(0.3 / 0.5) + np.log(1e-7)) / 2)


def test_every_registered_peer_is_who_it_says() -> None:
    for task, known in PEERS.items():
        loaded = peers(task)
        assert [peer.name for peer in loaded] == list(known)
        assert all(peer.task == task for peer in loaded)


def test_every_reference_is_one_line_with_a_year_and_a_place_in_the_paper() -> None:
    places = r"eqs?\. \(|Sec\. \d|steps? \d|objective|both (models|phases)|Wolpert"
    for task in PEERS:
        for peer in peers(task):
            assert "\n" not in peer.reference and len(peer.reference) <= 90, peer.name
            assert re.search(r"\b(19|20)\d\d\b", peer.reference), peer.name
            assert re.search(places, peer.reference), peer.name


def test_an_unknown_peer_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="svdp") as caught:
        peers("rating", ["svdp"])
    assert "did you mean svdpp" in str(caught.value.hint)
