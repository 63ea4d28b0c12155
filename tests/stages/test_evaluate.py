"""Stage `eval`: figures against loops over the same artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation.report import evaluation_text
from rrnet_cli.evaluation.results import result_rows
from rrnet_cli.progress import SilentReporter
from rrnet_cli.settings import EvalSettings, GraphSettings, TrainSettings
from rrnet_cli.stages.judging import Source
from rrnet_cli.store.digests import Fingerprint
from rrnet_cli.store.store import Store
from tests.stages.evaluations import (
    CLASSES,
    NUM,
    SCALE,
    USERS,
    class_problem,
    counted_by_hand,
    metric,
    put_model,
    rating_problem,
    run,
    seeds_of,
    some_scores,
)

AVERAGE = EvalSettings(resamples=200, average=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture(autouse=True)
def no_network_and_no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests are about figures; `monkeypatch.undo()` brings plots and the real score back."""
    monkeypatch.setattr("rrnet_cli.stages.scoring.score", some_scores)
    monkeypatch.setattr("rrnet_cli.stages.evaluate._draw", lambda *arguments: None)


class Notes(SilentReporter):
    """A reporter that remembers its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.parametrize("split", ["test", "select"])
def test_a_classification_is_what_a_loop_counts(store, split):
    model = class_problem(store)
    notes = Notes()
    outcome = run(store, model, settings=EvalSettings(resamples=200, split=split), reporter=notes)
    report = outcome.artifact.json("metrics.json")
    baseline, rrnet = counted_by_hand(store, model, split)
    assert len(rrnet) == NUM // 3 and 0 < sum(rrnet) < len(rrnet)
    row = metric(report["overall"]["metrics"], "top1")
    assert row["baseline"] == pytest.approx(100 * np.mean(baseline))
    assert row["rrnet"] == pytest.approx(100 * np.mean(rrnet))
    assert row["n"] == len(rrnet)
    assert report["overall"]["estimate"] == "single"
    assert report["folds_or_seeds"] == "fold 1"
    assert any("optimistic" in note for note in notes.notes) == (split == "select")
    assert outcome.artifact.manifest.summary["metrics"] == [row]
    assert outcome.artifact.ref.name == model.name
    assert set(outcome.artifact.manifest.inputs) == {"model", "graph", "features"}


def test_the_kept_predictions_say_the_same(store):
    model = class_problem(store)
    artifact = run(store, model).artifact
    table = artifact.table("predictions.parquet")
    _, rrnet = counted_by_hand(store, model)
    assert (table["rrnet"].to_numpy() == table["label"].to_numpy()).tolist() == rrnet
    assert set(table["run"].to_pylist()) == {"fold 1"}
    assert table["id"].to_pylist() == [f"clip{i}" for i in range(1, NUM, 3)]
    for side in ("baseline", "rrnet"):
        probability = table[f"{side}_probability"].to_numpy()
        assert ((probability > 0) & (probability <= 1)).all()
        assert (probability >= table[f"{side}_true_probability"].to_numpy()).all()
    missed = ~table["candidate"].to_numpy()
    assert missed.any() and (table["rrnet_true_probability"].to_numpy()[missed] == 0).all()
    recall = artifact.json("metrics.json")["overall"]["detail"]["candidate_recall"]
    assert recall == pytest.approx(1 - missed.mean())


def test_plots_are_there(store, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("rrnet_cli.stages.scoring.score", some_scores)
    files = set(run(store, class_problem(store)).artifact.manifest.files)
    plots = {"plots/calibration.png", "plots/confusion.png", "plots/curves.png"}
    assert files == plots | {"metrics.json", "predictions.parquet"}
    rated = run(store, rating_problem(store)).artifact
    assert plots - set(rated.manifest.files) == {"plots/confusion.png"}
    assert rated.file("plots/curves.png").read_bytes().startswith(b"\x89PNG")


def test_every_averaged_model_has_a_curve_of_its_own(store, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("rrnet_cli.stages.scoring.score", some_scores)
    drawn = []
    monkeypatch.setattr("rrnet_cli.evaluation.plots.curves", lambda *given: drawn.append(given))
    folds = [model for fold in (1, 2) for model in seeds_of(store, class_problem(store, fold), 2)]
    run(store, *folds, settings=AVERAGE)
    labels = [label for label, _ in drawn[0][1]]
    assert labels == [f"fold {fold}, seed {seed}" for fold in (1, 2) for seed in (0, 1)]


def test_without_plots_the_figures_are_the_same(store, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("rrnet_cli.stages.scoring.score", some_scores)
    model = class_problem(store)
    drawn = run(store, model, settings=EvalSettings(resamples=50)).artifact
    bare = run(store, model, settings=EvalSettings(resamples=50, plots=False)).artifact
    assert set(bare.manifest.files) == {"metrics.json", "predictions.parquet"}
    assert bare.json("metrics.json")["overall"] == drawn.json("metrics.json")["overall"]
    assert "plots" not in drawn.manifest.params, "versions from before there was a choice stay"


def test_folds_are_pooled_under_a_name_of_their_own(store):
    folds = [class_problem(store, fold) for fold in (1, 2, 3)]
    outcome = run(store, *folds)
    report = outcome.artifact.json("metrics.json")
    assert outcome.artifact.ref.name == "toy-plus"
    assert report["overall"]["estimate"] == "pooled"
    assert report["folds_or_seeds"] == "fold 1-3"
    assert [entry["label"] for entry in report["runs"]] == ["fold 1", "fold 2", "fold 3"]
    by_fold = [counted_by_hand(store, fold) for fold in folds]
    row = metric(report["overall"]["metrics"], "top1")
    assert row["n"] == NUM
    assert row["rrnet"] == pytest.approx(100 * np.mean([hit for _, r in by_fold for hit in r]))
    assert row["rrnet_std"] == pytest.approx(100 * np.std([np.mean(r) for _, r in by_fold], ddof=1))
    assert {"model1", "model2", "model3", "graph1", "features3"} <= set(
        outcome.artifact.manifest.inputs
    )


def test_seeds_of_one_fold_are_averaged(store):
    models = [class_problem(store, seed=seed) for seed in (0, 3)]
    report = run(store, *models).artifact.json("metrics.json")
    assert report["overall"]["estimate"] == "mean"
    assert report["folds_or_seeds"] == "seed 0, 3"
    row = metric(report["overall"]["metrics"], "top1")
    assert row["n"] == NUM // 3
    hits = [np.mean(counted_by_hand(store, model)[1]) for model in models]
    assert hits[0] != hits[1]
    assert row["rrnet"] == pytest.approx(100 * np.mean(hits))
    assert row["baseline_std"] == 0


@pytest.mark.parametrize("problem", [class_problem, rating_problem])
def test_models_of_one_graph_answer_by_their_mean(store, monkeypatch, problem):
    models = seeds_of(store, problem(store), 3)
    said = [some_scores(store, store.resolve("model", str(model))) for model in models]
    report = run(store, *models, settings=AVERAGE).artifact.json("metrics.json")
    assert report["folds_or_seeds"] == "seed 0-2, averages of 3 models"
    assert report["overall"]["estimate"] == "single"
    (entry,) = report["runs"]
    assert (entry["label"], entry["averaged"]) == ("seed 0-2", [str(model) for model in models])
    assert "are of the average of 3 models, not of one" in evaluation_text(report)
    rows = result_rows(report, paper={}, command=None, commit=None, date=None)
    assert all(row.models == entry["averaged"] for row in rows)
    mean = (said[0] + said[1] + said[2]) / np.float32(3)
    monkeypatch.setattr("rrnet_cli.stages.scoring.score", lambda *arguments: mean)
    alone = run(store, models[0]).artifact.json("metrics.json")
    assert report["overall"] == alone["overall"]
    assert "average" not in evaluation_text(alone)


def test_averages_are_taken_in_each_fold(store):
    folds = [seeds_of(store, class_problem(store, fold), 2) for fold in (1, 2, 3)]
    given = [model for pair in zip(*folds, strict=True) for model in pair]
    outcome = run(store, *given, settings=AVERAGE)
    report = outcome.artifact.json("metrics.json")
    assert report["folds_or_seeds"] == "fold 1-3, averages of 2 models"
    assert report["overall"]["estimate"] == "pooled"
    assert [entry["label"] for entry in report["runs"]] == ["fold 1", "fold 2", "fold 3"]
    assert [entry["averaged"] for entry in report["runs"]] == [
        [str(model) for model in fold] for fold in folds
    ]
    assert outcome.artifact.ref.name == "toy-plus-average"
    singly = run(store, *folds[0]).artifact
    assert singly.ref.name == "toy-plus" and "average" not in singly.manifest.params


def test_an_average_wants_as_many_models_of_each_graph(store):
    first, second = (seeds_of(store, class_problem(store, fold), 2) for fold in (1, 2))
    for models in ([first[0]], [first[0], second[0]], [*first, second[0]]):
        with pytest.raises(ConfigError, match="no average over models can be taken: given are"):
            run(store, *models, settings=AVERAGE)
    with pytest.raises(ConfigError, match="model differs in preset"):
        run(store, first[0], class_problem(store, 1, preset="paper"), settings=AVERAGE)


@pytest.mark.parametrize(
    ("seeds", "labels", "short"),
    [
        ([(0, 0), (1, 1)], ["split seed 0", "split seed 1"], "split seed 0-1"),
        ([(0, 7), (2, 8)], ["split seed 0, seed 7", "split seed 2, seed 8"], "split seed 0, 2"),
        ([(4, 5)], ["seed 5"], "seed 5"),
        (
            [(0, 1), (0, 2), (1, 1)],
            ["split seed 0, seed 1", "split seed 0, seed 2", "split seed 1, seed 1"],
            "split seed 0, seed 1; split seed 0, seed 2; split seed 1, seed 1",
        ),
    ],
)
def test_runs_are_called_by_what_tells_them_apart(store, seeds, labels, short):
    models = []
    for split_seed, seed in seeds:
        source = Source.open(store, str(rating_problem(store, split_seed)))
        refs = (source.graph.ref, source.features.ref)
        models.append(put_model(store, *refs, f"r{split_seed}{seed}", "plus", seed))
    report = run(store, *models).artifact.json("metrics.json")
    assert [entry["label"] for entry in report["runs"]] == labels
    assert report["folds_or_seeds"] == short


def test_ratings_are_what_a_loop_counts(store):
    model = rating_problem(store)
    report = run(store, model).artifact.json("metrics.json")
    source = Source.open(store, str(model))
    edges = source.graph.table("edges/user.inter.item.parquet").to_pylist()
    scores = some_scores(store, source.model)
    said = {(e["src"], e["dst"]): float(s) for e, s in zip(edges, scores, strict=True)}
    tested = [
        row for row in source.features.table("ratings.parquet").to_pylist() if row["role"] == "test"
    ]
    clip = lambda value: min(max(value, SCALE[0]), SCALE[1])  # noqa: E731
    errors = [clip(said[row["user"], row["item"]]) - row["rating"] for row in tested]
    prior = [clip(row["prior"]) - row["rating"] for row in tested]
    assert 10 < len(tested) < 40
    mae, rmse = (metric(report["overall"]["metrics"], name) for name in ("mae", "rmse"))
    assert mae["n"] == rmse["n"] == len(tested)
    assert mae["rrnet"] == pytest.approx(np.mean(np.abs(errors)))
    assert rmse["rrnet"] == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert mae["baseline"] == pytest.approx(np.mean(np.abs(prior)))
    assert rmse["baseline"] == pytest.approx(np.sqrt(np.mean(np.square(prior))))


def test_kept_rating_predictions_name_user_and_item(store):
    table = run(store, rating_problem(store)).artifact.table("predictions.parquet")
    assert table.column_names == ["run", "user", "item", "rating", "prior", "prediction"]
    assert set(table["user"].to_pylist()) <= {f"u {i}" for i in range(USERS)}
    assert table["prediction"].to_numpy().min() >= SCALE[0]
    assert table["prediction"].to_numpy().max() <= SCALE[1]


def test_overlapping_random_splits_are_averaged(store):
    models = [rating_problem(store, split_seed) for split_seed in (0, 1)]
    outcome = run(store, *models)
    report = outcome.artifact.json("metrics.json")
    assert report["overall"]["estimate"] == "mean"
    assert report["folds_or_seeds"] == "split seed 0-1"
    total = sum(entry["n"] for entry in report["runs"])
    assert max(e["n"] for e in report["runs"]) < report["overall"]["metrics"][0]["n"] < total
    assert outcome.artifact.ref.name == "ratings-plus"


def test_splits_with_permutations_of_their_own_are_averaged_and_not_with_those_without(store):
    shuffled = [rating_problem(store, seed, shuffle=seed) for seed in (0, 1)]
    assert run(store, *shuffled).artifact.json("metrics.json")["folds_or_seeds"] == "split seed 0-1"
    of_one_split = [rating_problem(store, 0, shuffle=seed) for seed in (0, 1)]
    report = run(store, *of_one_split).artifact.json("metrics.json")
    assert report["folds_or_seeds"] == "permutation 0-1"
    with pytest.raises(ConfigError, match="graph differs in shuffle_intra"):
        run(store, shuffled[0], rating_problem(store, 1))


def test_a_second_run_is_cached_and_force_is_not(store):
    model = class_problem(store)
    first, again, forced = run(store, model), run(store, model), run(store, model, force=True)
    assert (first.cached, again.cached, forced.cached) == (False, True, False)
    assert first.artifact.ref == again.artifact.ref == forced.artifact.ref
    assert again.artifact.json("metrics.json") == forced.artifact.json("metrics.json")
    other = run(store, model, settings=EvalSettings(resamples=201))
    assert other.artifact.ref != first.artifact.ref


def test_without_a_reference_the_newest_model_is_judged(store):
    class_problem(store, 1)
    newest = class_problem(store, 2)
    assert run(store).artifact.manifest.inputs["model"] == newest


def test_an_unlike_setting_is_not_averaged(store):
    first = class_problem(store, 1)
    with pytest.raises(ConfigError, match="model differs in preset"):
        run(store, first, class_problem(store, 2, preset="paper"))
    with pytest.raises(ConfigError, match="features differs in lr"):
        run(store, first, class_problem(store, 3, lr=0.5))
    other_files = Fingerprint(files=1, bytes=1, digest="0" * 64)
    with pytest.raises(ConfigError, match="features differs in the raw data"):
        run(store, first, class_problem(store, 2, data=other_files))
    with pytest.raises(ConfigError, match="given twice"):
        run(store, first, first)


def test_with_the_real_stages_before_it(store, monkeypatch):
    monkeypatch.undo()
    from rrnet_cli.stages.build_graph import build_graph
    from rrnet_cli.stages.scoring import score
    from rrnet_cli.stages.train import train

    features = class_problem(store)  # its features; graph and model are made anew
    ref = str(store.resolve("model", str(features)).manifest.inputs["features"])
    quiet: dict[str, Any] = {"store": store, "reporter": SilentReporter()}
    graph = build_graph(
        GraphSettings(k_intra=3, k_intra_right=2, k_inter=CLASSES),
        features=ref,
        name="real",
        **quiet,
    )
    settings = TrainSettings(epochs=2, preset="paper")
    model = train(settings, graph=str(graph.artifact.ref), name="real", **quiet).artifact
    report = run(store, model.ref).artifact.json("metrics.json")
    source = Source.open(store, str(model.ref))
    edges = source.graph.table("edges/audio.inter.text.parquet").to_pandas()
    edges["score"] = score(store, model)
    instances = source.features.table("instances.parquet").to_pandas()
    tested = edges[edges["role"] == "test"].sort_values(["src", "dst"])
    best = tested.loc[tested.groupby("src")["score"].idxmax()]
    right = (best["dst"].to_numpy() == instances["label"].to_numpy()[best["src"]]).mean()
    assert len(best) == NUM // 3
    row = metric(report["overall"]["metrics"], "top1")
    assert row["rrnet"] == pytest.approx(100 * right)
    select = run(store, model.ref, settings=EvalSettings(resamples=50, split="select"))
    nll = metric(select.artifact.json("metrics.json")["overall"]["metrics"], "nll")["rrnet"]
    kept = Source.open(store, str(model.ref)).model.manifest.summary["best"]
    # the very likelihood that `train` chose the epoch by
    assert nll == pytest.approx(kept["select_nll"], rel=1e-4)
