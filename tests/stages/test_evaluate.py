"""Stage `eval` on artifacts made by hand, whose every figure can be counted by a loop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rrnet_cli.cli.evaluate import current_commit, shown_command
from rrnet_cli.errors import ArtifactCorruptError, ConfigError, UpstreamError
from rrnet_cli.progress import SilentReporter
from rrnet_cli.settings import EvalSettings, GraphSettings, TrainSettings
from rrnet_cli.stages.compare import compare
from rrnet_cli.stages.evaluate import evaluate
from rrnet_cli.stages.judging import Source, judge
from rrnet_cli.store.artifact import Artifact, ArtifactRef, Key
from rrnet_cli.store.draft import Draft
from rrnet_cli.store.store import Outcome, Store

NUM, CLASSES, CANDIDATES = 48, 6, 2
USERS, ITEMS, SCALE = 12, 9, (1.0, 5.0)
SETTINGS = EvalSettings(resamples=200)
ROLES = np.array(["fit", "select", "test"])


class Notes(SilentReporter):
    """A reporter that remembers its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def put(
    store: Store,
    kind: str,
    name: str,
    files: dict[str, Any],
    params: dict[str, Any],
    inputs: dict[str, ArtifactRef] | None = None,
    summary: dict[str, Any] | None = None,
) -> ArtifactRef:
    def build(draft: Draft) -> None:
        for file, content in files.items():
            if isinstance(content, pa.Table):
                draft.write_table(file, content)
            else:
                draft.write_tensors(file, content)
        draft.summary.update(summary or {})

    key = Key(kind=kind, name=name, params=params, inputs=inputs or {}, data=None)
    return store.materialise(key, build).artifact.ref


def class_problem(
    store: Store, fold: int | None = 1, seed: int = 0, preset: str = "plus", **changes: Any
) -> ArtifactRef:
    """Features, graph and model of one fold; the instances of fold f are those with i % 3 == f."""
    rng = np.random.default_rng(fold or 0)
    labels = (np.arange(NUM) * 5 // 2 % CLASSES).astype(np.int64)
    roles = ROLES[(np.arange(NUM) + 2 - (fold or 0)) % 3]
    logits = rng.normal(size=(NUM, CLASSES)).astype(np.float32)
    logits[np.arange(NUM), labels] += 1
    features = put(
        store,
        "features",
        f"toy-fold{fold}",
        {
            "features.safetensors": {
                "audio": rng.normal(size=(NUM, 4)).astype(np.float32),
                "text": rng.normal(size=(CLASSES, 3)).astype(np.float32),
            },
            "prior.safetensors": {"logits": logits},
            "instances.parquet": pa.table(
                {"id": [f"clip{i}" for i in range(NUM)], "label": labels, "role": roles}
            ),
            "labels.parquet": pa.table({"name": [f"label {i}" for i in range(CLASSES)]}),
        },
        {"data": {"fold": fold, "split_seed": 0}, "seed": 0, "lr": changes.get("lr", 0.1)},
        summary={
            "task": "classification",
            "left": "audio",
            "right": "text",
            "recipe": "esc10",
            "dataset": "esc10",
            "backbone": "envnet",
        },
    )
    best = np.sort(np.argsort(-logits, axis=1)[:, :CANDIDATES], axis=1)
    src, dst = np.repeat(np.arange(NUM), CANDIDATES), best.ravel()
    order = np.lexsort((src, dst))
    src, dst = src[order], dst[order]
    role = changes.get("edge_role", roles[src])
    target = (labels[src] == dst).astype(np.float32)
    if not changes.get("leak"):
        target[role == "test"] = np.nan
    graph = put(
        store,
        "graph",
        f"toy-fold{fold}",
        {
            "edges/audio.inter.text.parquet": pa.table(
                {
                    "src": src,
                    "dst": dst,
                    "weight": np.ones(len(src), np.float32),
                    "prior": logits[src, dst],
                    "target": pa.array(target, from_pandas=False),
                    "role": role,
                }
            )
        },
        {"k_inter": CANDIDATES},
        {"features": features},
    )
    return put_model(store, graph, features, f"toy-fold{fold}-{preset}", preset, seed)


def put_model(
    store: Store, graph: ArtifactRef, features: ArtifactRef, name: str, preset: str, seed: int
) -> ArtifactRef:
    history = {"epoch": [0, 1], "loss": [float("nan"), 0.5], "select_top1": [0.1, 0.2]}
    return put(
        store,
        "model",
        name,
        {"history.parquet": pa.table(history)},
        {"preset": preset, "seed": seed},
        {"graph": graph, "features": features},
    )


def rating_problem(store: Store, split_seed: int = 0, unrated: bool = True) -> ArtifactRef:
    user, item = (grid.ravel() for grid in np.meshgrid(range(USERS), range(ITEMS), indexing="ij"))
    rated = (user * 7 + item * 3) % 4 != 0
    rating = (1 + (user + 2 * item) % 5).astype(np.float32)
    rng = np.random.default_rng(split_seed)
    role = np.full(len(user), "none", dtype="<U6")
    role[rated] = ROLES[rng.integers(0, 3, rated.sum())]
    prior = (rating + rng.normal(size=len(rating)) * 2).astype(np.float32)
    features = put(
        store,
        "features",
        f"ratings-seed{split_seed}",
        {
            "ratings.parquet": pa.table(
                {
                    "user": user[rated],
                    "item": item[rated],
                    "rating": rating[rated],
                    "prior": prior[rated],
                    "role": role[rated],
                }
            ),
            "users.parquet": pa.table({"id": [f"u {i}" for i in range(USERS)]}),
            "items.parquet": pa.table({"id": [f"i{i}" for i in range(ITEMS)]}),
        },
        {"data": {"fold": None, "split_seed": split_seed}, "seed": 0},
        summary={
            "task": "rating",
            "left": "user",
            "right": "item",
            "scale": list(SCALE),
            "recipe": "filmtrust",
            "dataset": "filmtrust",
            "backbone": "rating-bias",
        },
    )
    kept = np.lexsort((user, item))
    kept = kept if unrated else kept[role[kept] == "fit"]
    target = np.where(np.isin(role, ["fit", "select"]), rating, np.nan).astype(np.float32)
    graph = put(
        store,
        "graph",
        f"ratings-seed{split_seed}",
        {
            "edges/user.inter.item.parquet": pa.table(
                {
                    "src": user[kept],
                    "dst": item[kept],
                    "weight": np.ones(len(kept), np.float32),
                    "prior": prior[kept],
                    "target": pa.array(target[kept], from_pandas=False),
                    "role": role[kept],
                }
            )
        },
        {"inter": "all" if unrated else "fit"},
        {"features": features},
    )
    return put_model(store, graph, features, f"ratings-seed{split_seed}-plus", "plus", 0)


def some_scores(store: Store, model: Artifact, device: str = "auto") -> np.ndarray:
    """In place of `train.score`: noise around what the prior says, of the graph's size."""
    source = Source.open(store, str(model.ref))
    (file,) = source.graph.manifest.files
    prior = source.graph.table(file)["prior"].to_numpy()
    noise = np.random.default_rng(int(model.manifest.params["seed"])).normal(size=len(prior))
    if source.task == "rating":
        return (prior + noise).astype(np.float32)
    return (1 / (1 + np.exp(-prior - noise))).astype(np.float32)


@pytest.fixture(autouse=True)
def no_network_and_no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests are about figures; `monkeypatch.undo()` brings plots and the real score back."""
    monkeypatch.setattr("rrnet_cli.stages.train.score", some_scores)
    monkeypatch.setattr("rrnet_cli.stages.evaluate._draw", lambda *arguments: None)


def run(store: Store, *models: ArtifactRef, **options: Any) -> Outcome:
    settings = options.pop("settings", SETTINGS)
    defaults: dict[str, Any] = {"name": None, "reporter": SilentReporter()}
    return evaluate(settings, store=store, models=[str(m) for m in models], **defaults | options)


def metric(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in rows if row["metric"] == name)


def counted_by_hand(store: Store, ref: ArtifactRef, split: str = "test") -> tuple[list, list]:
    """Hits of baseline and RR-Net on each instance of the split, one by one."""
    model = store.resolve("model", str(ref))
    source = Source.open(store, str(ref))
    edges = source.graph.table("edges/audio.inter.text.parquet").to_pylist()
    scores = some_scores(store, model)
    logits = source.features.arrays("prior.safetensors")["logits"]
    baseline, rrnet = [], []
    for number, instance in enumerate(source.features.table("instances.parquet").to_pylist()):
        if instance["role"] == split:
            said = {e["dst"]: s for e, s in zip(edges, scores, strict=True) if e["src"] == number}
            rrnet.append(max(said, key=lambda c: said[c]) == instance["label"])
            baseline.append(int(logits[number].argmax()) == instance["label"])
    return baseline, rrnet


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
    monkeypatch.setattr("rrnet_cli.stages.train.score", some_scores)
    files = set(run(store, class_problem(store)).artifact.manifest.files)
    plots = {"plots/calibration.png", "plots/confusion.png", "plots/curves.png"}
    assert files == plots | {"metrics.json", "predictions.parquet"}
    rated = run(store, rating_problem(store)).artifact
    assert plots - set(rated.manifest.files) == {"plots/confusion.png"}
    assert rated.file("plots/curves.png").read_bytes().startswith(b"\x89PNG")


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
    with pytest.raises(ConfigError, match="given twice"):
        run(store, first, first)


def test_a_test_label_in_the_graph_is_refused(store):
    with pytest.raises(ArtifactCorruptError, match="test"):
        run(store, class_problem(store, leak=True))


def test_a_graph_with_other_roles_is_refused(store):
    roles = np.tile(["fit", "select", "fit"], NUM)[: NUM * CANDIDATES]
    with pytest.raises(UpstreamError, match="another role"):
        run(store, class_problem(store, edge_role=roles))


def test_an_instance_without_candidates_is_refused(store):
    source = Source.open(store, str(class_problem(store)))
    name = "edges/audio.inter.text.parquet"
    table = source.graph.table(name)
    kept = table.filter(pa.array(table["src"].to_numpy() != 4))
    graph = put(store, "graph", "bare", {name: kept}, {"k": 1}, {"features": source.features.ref})
    model = put_model(store, graph, source.features.ref, "bare-plus", "plus", 0)
    with pytest.raises(UpstreamError, match=r"no inter-edge for 1 test instances, first 'clip4'"):
        run(store, model)


def test_a_rating_without_an_edge_is_refused(store):
    with pytest.raises(UpstreamError, match=r"no inter-edge for \d+ of \d+ test ratings"):
        run(store, rating_problem(store, unrated=False))


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        (lambda s: s[:-1], "scores .* edges"),
        (lambda s: np.where(np.arange(len(s)) == 5, np.nan, s), "NaN or infinity on 1 edges"),
        (lambda s: s + 1, "probability outside"),
    ],
)
def test_impossible_scores_are_refused(store, scores, complaint):
    source = Source.open(store, str(class_problem(store)))
    wrong = scores(some_scores(store, source.model)).astype(np.float32)
    with pytest.raises(UpstreamError, match=complaint):
        judge(source, wrong, SETTINGS)


def test_an_empty_split_is_refused(store, monkeypatch):
    source = Source.open(store, str(class_problem(store)))
    settings = SETTINGS.model_copy(update={"split": "nobody"})
    with pytest.raises(ConfigError, match="no nobody instances"):
        judge(source, some_scores(store, source.model), settings)


def test_a_model_of_another_graph_is_refused(store):
    one, other = (Source.open(store, str(class_problem(store, fold))) for fold in (1, 2))
    mixed = put_model(store, one.graph.ref, other.features.ref, "mixed", "plus", 0)
    with pytest.raises(UpstreamError, match="was trained on"):
        run(store, mixed)


def test_compare_pairs_what_judged_the_same_instances(store):
    first, second = (run(store, class_problem(store, 1, preset=p)) for p in ("paper", "plus"))
    other = run(store, class_problem(store, 2))
    refs = [str(outcome.artifact.ref) for outcome in (first, second, other)]
    one, two, three = compare(store, refs)
    assert one["against_first"] == three["against_first"] == {}
    assert two["against_first"]["top1"]["difference"] == 0  # some_scores knows no preset
    assert two["metrics"] == second.artifact.json("metrics.json")["overall"]["metrics"]
    assert (one["name"], three["name"]) == ("toy-fold1-paper", "toy-fold2-plus")


def test_compare_gives_the_difference_of_the_two_rr_nets(store):
    outcomes = [run(store, class_problem(store, seed=seed)) for seed in (0, 3)]
    rows = [outcome.artifact.json("metrics.json")["overall"]["metrics"] for outcome in outcomes]
    _, second = compare(store, [str(outcome.artifact.ref) for outcome in outcomes])
    assert set(second["against_first"]) == {"top1", "top5", "macro_f1", "nll", "ece"}
    for name, row in second["against_first"].items():
        expected = metric(rows[1], name)["rrnet"] - metric(rows[0], name)["rrnet"]
        assert row["difference"] == pytest.approx(expected), name
    assert second["against_first"]["top1"]["difference"] != 0
    assert "@" in second["name"]  # both evaluations have one name


def test_compare_of_ratings(store):
    model = rating_problem(store)
    refs = [
        str(run(store, model, settings=EvalSettings(resamples=r)).artifact.ref) for r in (100, 50)
    ]
    assert compare(store, refs)[1]["against_first"]["rmse"]["difference"] == 0


def test_compare_refuses_what_has_nothing_in_common(store):
    classes, ratings = run(store, class_problem(store)), run(store, rating_problem(store))
    with pytest.raises(ConfigError, match="no metric in common"):
        compare(store, [str(o.artifact.ref) for o in (classes, ratings)])
    with pytest.raises(ConfigError, match="at least two"):
        compare(store, [str(classes.artifact.ref)])


def test_with_the_real_stages_before_it(store, monkeypatch):
    monkeypatch.undo()
    from rrnet_cli.stages.build_graph import build_graph
    from rrnet_cli.stages.train import score, train

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


def test_the_published_command_has_no_absolute_path(tmp_path):
    words = [
        *("eval", "a b", "--artifacts", f"{tmp_path}/store", f"--save-results={tmp_path}/x/y.json"),
        *("--config", "/somewhere/else/c.yaml", "--set", "k=/deep/down", "../up", "--seed", "3"),
    ]
    assert shown_command(words, tmp_path) == (
        "rrnet eval 'a b' --artifacts store --save-results=x/y.json "
        "--config c.yaml --set k=down ../up --seed 3"
    )


def test_no_checkout_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert current_commit(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert current_commit(tmp_path) is None


def test_commands(store, invoke, monkeypatch):
    """`eval`, `compare` and `results` from end to end."""
    first, second = (class_problem(store, fold) for fold in (1, 2))
    options = ("--artifacts", store.root, "--resamples", 100)
    kept = Path("kept/esc10.json")
    monkeypatch.setattr("sys.argv", ["rrnet", "eval", str(first), "--artifacts", str(store.root)])
    done = invoke("eval", first, second, *options, "--save-results", kept)
    assert done.code == 0, done.err
    assert "top-1 accuracy (%), pooled" in done.out and "mean ± std" in done.out
    rows = json.loads(kept.read_text())
    assert [row["metric"] for row in rows] == ["top1"]
    assert rows[0]["paper"] == 96.5 and rows[0]["best_peer"] is None
    assert rows[0]["command"] == f"rrnet eval {first} --artifacts artifacts"
    assert rows[0]["folds_or_seeds"] == "fold 1-2"

    cached = invoke("--json", "eval", first, second, *options)
    assert cached.json["cached"] and cached.json["overall"]["estimate"] == "pooled"
    assert "cached" in cached.err

    assert invoke("eval", second, *options).code == 0
    both = invoke("compare", "toy-plus", second.name, "--artifacts", store.root)
    assert both.code == 0 and "RR-Net against the first" in both.out

    table = invoke("results", "kept", "--write", "table.md")
    assert table.code == 0 and table.out.count("\n") == 3
    assert Path("table.md").read_text().endswith(table.out)
    assert "do not edit" in Path("table.md").read_text()
    assert invoke("--json", "results", "kept").json["rows"] == rows

    assert invoke("results", "nowhere").code == 3
    assert invoke("eval", "nobody", *options).code == 4
    assert invoke("eval", first, *options, "--split", "fit").code == 2
    assert invoke("compare", "toy-plus", "--artifacts", store.root).code == 2


def test_a_cached_evaluation_needs_no_torch(store):
    import subprocess
    import sys

    model = class_problem(store)
    run(store, model)
    program = (
        "import sys\n"
        "from rrnet_cli.cli.app import run\n"
        "code = run(sys.argv[1:])\n"
        "assert code == 0, code\n"
        "assert 'torch' not in sys.modules and 'dgl' not in sys.modules\n"
    )
    words = ["eval", str(model), "--artifacts", str(store.root), "--resamples", "200", "-q"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
