"""A sweep on a real store: trials are models of `train`, ranked on select alone."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrnet_cli.errors import BusyError, ConfigError, ResourceError
from rrnet_cli.progress import SilentReporter
from rrnet_cli.recipes import load_recipe
from rrnet_cli.settings import GraphSettings, SweepSettings, TrainSettings
from rrnet_cli.stages.build_graph import build_graph
from rrnet_cli.stages.extract import extract
from rrnet_cli.stages.sweep import Trial, sweep
from rrnet_cli.stages.train import model_key, train
from rrnet_cli.store import maintenance
from rrnet_cli.store.artifact import Artifact
from rrnet_cli.store.collection import collect
from rrnet_cli.store.store import Outcome, Store
from tests.conftest import PATIENCE

QUIET = SilentReporter()
GRID = SweepSettings(grid={"lr": ("0.1", "0.3"), "patience": ("null", "3"), "seed": ("0", "1")})
TRIALS = [
    TrainSettings(epochs=3, lr=lr, patience=patience, seed=seed)
    for lr in (0.1, 0.3)
    for patience in (None, 3)
    for seed in (0, 1)
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a small graph of digits."""
    root = tmp_path_factory.mktemp("store")
    store = Store(root / "artifacts")
    digits = load_recipe("digits")
    vectors = root / "vectors.txt"
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    vectors.write_text("".join(f"{w} {i} {i % 3} 1.5\n" for i, w in enumerate(words)))
    data = digits.extract.data.model_copy(update={"limit": 8})
    text = digits.extract.text.model_copy(update={"vectors": str(vectors)})
    settings = digits.extract.model_copy(update={"data": data, "text": text})
    extract(settings, data=None, name="digits", recipe="digits", store=store, reporter=QUIET)
    graph = GraphSettings(k_intra=3, k_inter=4)
    build_graph(graph, features="digits", name=None, store=store, reporter=QUIET)
    return store.root


@pytest.fixture
def store(prepared: Path, tmp_path: Path) -> Store:
    return Store(Path(shutil.copytree(prepared, tmp_path / "artifacts", symlinks=True)))


def run(
    store: Store,
    trials: list[TrainSettings] = TRIALS,
    space: SweepSettings = GRID,
    **options: Any,
) -> Outcome:
    given = [Trial(settings, ("--preset", settings.preset)) for settings in trials]
    arguments = {"graph": "digits", "name": None, "jobs": 1, "reporter": QUIET, **options}
    return sweep(space, given, store=store, **arguments)


def figures(store: Store, row: dict[str, Any]) -> dict[str, Any]:
    best: Any = store.resolve(None, row["model"]).manifest.summary["best"]
    return {name: best[name] for name in ("select_top1", "select_nll")}


def weights(store: Store) -> dict[str, str]:
    models = [store.open(ref) for ref in store.refs("model")]
    return {m.ref.version: m.manifest.files["model.safetensors"].sha256 for m in models}


def test_trials_are_models_of_train_and_the_best_mean_is_chosen(store: Store) -> None:
    result = run(store).artifact
    rows = result.table("trials.parquet").to_pylist()
    assert [(row["lr"], row["seed"]) for row in rows] == [
        (settings.lr, settings.seed) for settings in TRIALS
    ]
    for row, settings in zip(rows, TRIALS, strict=True):
        model = store.resolve(None, row["model"])
        again = train(settings, store=store, graph="digits", name=model.ref.name, reporter=QUIET)
        assert again.cached and again.artifact.ref == model.ref
        assert {name: row[name] for name in ("select_top1", "select_nll")} == figures(store, row)
        assert (row["epochs_run"], row["status"]) == (3, "done")
        assert np.isnan(row["patience"]) if settings.patience is None else row["patience"] == 3

    pairs = [(rows[2 * pair], rows[2 * pair + 1]) for pair in range(4)]
    worth = [
        (np.mean([r["select_top1"] for r in pair]), -np.mean([r["select_nll"] for r in pair]))
        for pair in pairs
    ]
    best = pairs[worth.index(max(worth))][0]
    summary = result.manifest.summary
    assert summary["chosen"]["lr"] == best["lr"]  # type: ignore[index,call-overload]
    assert summary["seeds"] == [0, 1]
    assert (result.path / "trials.png").stat().st_size > 10_000
    assert all(row["model"] in (result.path / "report.md").read_text() for row in rows)


def test_a_sweep_is_cached_and_more_trials_cost_only_themselves(store: Store) -> None:
    first = run(store, TRIALS[:2])
    before = {ref: store.open(ref).manifest.created for ref in store.refs("model")}
    assert run(store, TRIALS[:2]).cached
    more = run(store, TRIALS[:3])
    assert not more.cached and more.artifact.ref.version != first.artifact.ref.version
    after = {ref: store.open(ref).manifest.created for ref in store.refs("model")}
    assert len(after) == 3 and before.items() <= after.items()


def test_a_model_that_is_there_under_another_name_is_taken(store: Store) -> None:
    model = train(TRIALS[0], store=store, graph="digits", name=None, reporter=QUIET).artifact
    rows = run(store, TRIALS[:2]).artifact.table("trials.parquet").to_pylist()
    assert rows[0]["model"] == str(model.ref) and model.ref.name == "digits-paper"
    assert rows[1]["model"].startswith("model/digits-paper-sweep@")
    assert store.newest("model", "digits-paper") == model.ref


def test_its_trials_are_kept_with_it_and_go_with_it(store: Store) -> None:
    result = run(store, TRIALS[:2]).artifact
    trials = set(store.refs("model"))
    assert trials <= set(result.manifest.inputs.values())
    collect(store, keep=1)
    assert set(store.refs("model")) == trials
    with pytest.raises(ConfigError, match="was used to make sweep/"):
        maintenance.remove(store, min(trials))
    maintenance.remove(store, result.ref)
    collect(store, keep=1)
    assert len(store.refs("model")) == 1


def test_no_table_of_labels_is_opened(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph's targets of test edges are NaN, and no other table says what is right."""
    opened = []
    for reader in ("table", "parts"):
        read = getattr(Artifact, reader)

        def spy(self: Artifact, name: str, *args: Any, read: Any = read) -> Any:
            opened.append(f"{self.ref.kind}/{name}")
            return read(self, name, *args)

        monkeypatch.setattr(Artifact, reader, spy)
    run(store, TRIALS[:1])
    assert opened and all(name.startswith("graph/edges/") for name in opened)


DIVERGING = TrainSettings(epochs=50, lr=1e25, clip_norm=None)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_trial_that_diverges_is_a_row(store: Store, jobs: int) -> None:
    space = SweepSettings(grid={"lr": ("1e25", "0.1")})
    result = run(store, [DIVERGING, TRIALS[0]], space, jobs=jobs).artifact
    bad, good = result.table("trials.parquet").to_pylist()
    assert (bad["status"], bad["model"], bad["best_epoch"]) == ("diverged", "", -1)
    assert np.isnan(bad["select_top1"]) and good["status"] == "done"
    assert result.manifest.summary["diverged"] == 1
    assert result.manifest.summary["chosen"] == {"lr": 0.1}


def test_a_sweep_that_only_diverges_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="every trial diverged"):
        run(store, [DIVERGING], SweepSettings(grid={"lr": ("1e25",)}))
    assert not store.refs("sweep")


def test_processes_give_the_same_bytes(store: Store, prepared: Path, tmp_path: Path) -> None:
    other = Store(Path(shutil.copytree(prepared, tmp_path / "other", symlinks=True)))
    single, double = run(store, TRIALS[:3]), run(other, TRIALS[:3], jobs=2)
    assert single.artifact.ref == double.artifact.ref
    assert weights(store) == weights(other)
    assert not multiprocessing.active_children()


def test_an_error_in_a_process_is_the_error_of_the_sweep(store: Store) -> None:
    store.lock_timeout = 0.2
    source, features = store.resolve("graph"), store.resolve("features")
    key = model_key(TRIALS[1], source, features, "digits-paper-sweep")
    with store.lock(key), pytest.raises(BusyError) as caught:
        run(store, TRIALS[:2], jobs=2)
    assert str(os.getpid()) in caught.value.message and caught.value.hint
    assert not multiprocessing.active_children()


def test_a_process_that_is_killed_is_reported_and_the_others_end(store: Store) -> None:
    long = [settings.model_copy(update={"epochs": 100_000}) for settings in TRIALS[:2]]

    def kill_one() -> None:
        deadline = time.monotonic() + PATIENCE
        while len(list(store.root.glob(".work/*/*.safetensors"))) < 2:
            if time.monotonic() > deadline:  # kill all the same: the trials would go on for hours
                break
            time.sleep(0.05)
        multiprocessing.active_children()[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(ResourceError, match="was killed"):
        run(store, long, jobs=2)
    killer.join()
    assert not multiprocessing.active_children()
