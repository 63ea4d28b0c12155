"""Stage `train` on a real store: digits' pixels in, a model and its scores out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rrnet_cli.errors import ArtifactFormatError, ConfigError, ResourceError
from rrnet_cli.progress import SilentReporter
from rrnet_cli.recipes import load_recipe
from rrnet_cli.settings import PLUS, GraphSettings, TrainSettings
from rrnet_cli.stages.build_graph import build_graph
from rrnet_cli.stages.extract import extract
from rrnet_cli.stages.scoring import score
from rrnet_cli.stages.train import train
from rrnet_cli.store.artifact import Artifact
from rrnet_cli.store.store import Outcome, Store
from tests import layouts
from tests.graphs.test_knn import Notes

QUIET = SilentReporter()
PAPER = TrainSettings(epochs=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a small graph of digits and one of ratings."""
    root = tmp_path_factory.mktemp("store")
    store = Store(root / "artifacts")
    digits = load_recipe("digits")
    data = digits.extract.data.model_copy(update={"limit": 8})
    vectors = root / "vectors.txt"
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    vectors.write_text("".join(f"{w} {i} {i % 3} 1.5\n" for i, w in enumerate(words)))
    text = digits.extract.text.model_copy(update={"vectors": str(vectors)})
    settings = digits.extract.model_copy(update={"data": data, "text": text})
    common = {"store": store, "reporter": QUIET}
    features = extract(settings, data=None, name="digits", recipe="digits", **common)
    graph = GraphSettings(k_intra=3, k_inter=4)
    build_graph(graph, features=str(features.artifact.ref), name=None, **common)
    layouts.main(["filmtrust", str(root / "filmtrust"), "--per-class", "4"])
    ratings = load_recipe("filmtrust")
    features = extract(
        ratings.extract, data=root / "filmtrust", name="ratings", recipe=None, **common
    )
    graph = GraphSettings(intra="links", k_intra_right=0, inter="rated")
    build_graph(graph, features=str(features.artifact.ref), name=None, **common)
    return store


def run(store: Store, settings: TrainSettings = PAPER, **options: object) -> Outcome:
    arguments = {"graph": "digits", "name": None, "reporter": QUIET, **options}
    return train(settings, store=store, **arguments)  # type: ignore[arg-type]


def test_the_artifact_holds_weights_curve_and_summary(store: Store) -> None:
    model = run(store).artifact
    history = model.table("history.parquet").to_pydict()
    assert history["epoch"] == [0, 1, 2, 3]
    assert np.isnan(history["loss"][0]) and np.isfinite(history["loss"][1:]).all()
    assert model.manifest.summary["best_epoch"] in history["epoch"]
    assert model.ref.name == "digits-paper"
    weights = model.tensors("model.safetensors")
    assert model.manifest.summary["parameters"] == sum(w.numel() for w in weights.values())


def test_same_settings_are_cached_and_any_other_setting_is_another_version(store: Store) -> None:
    first = run(store)
    assert run(store).cached and run(store, device="cpu").cached
    other = run(store, PAPER.model_copy(update={"seed": 1}))
    assert not other.cached and other.artifact.ref.version != first.artifact.ref.version


def test_forced_training_gives_the_same_bytes(store: Store) -> None:
    first = run(store).artifact.manifest.files["model.safetensors"].sha256
    again = run(store, force=True)
    assert not again.cached
    assert again.artifact.manifest.files["model.safetensors"].sha256 == first


@pytest.mark.parametrize("preset", [{}, PLUS], ids=["paper", "plus"])
def test_scores_are_those_of_the_chosen_epoch(store: Store, preset: dict[str, object]) -> None:
    settings = TrainSettings.model_validate({**preset, "epochs": 5})
    model = run(store, settings).artifact
    scores = score(store, model)
    graph = store.resolve("graph", str(model.manifest.inputs["graph"]))
    edges = graph.table("edges/image.inter.text.parquet").to_pandas().assign(score=scores)
    chosen = edges[edges.role == "select"].sort_values(["src", "dst"], kind="stable")
    best = chosen.loc[chosen.groupby("src").score.idxmax()]
    assert best.target.mean() == pytest.approx(model.manifest.summary["best"]["select_top1"])


def test_later_settings_are_recorded_only_where_they_are_used(store: Store) -> None:
    """Models that were trained before these settings came are still found."""
    later = {"attributes", "refit_prior", "refits", "votes"}
    assert not later & set(run(store, TrainSettings(epochs=1)).artifact.manifest.params)
    settings = TrainSettings(epochs=1, attributes="none", refits=3)
    model = run(store, settings).artifact
    assert later & set(model.manifest.params) == {"attributes", "refits"}
    assert TrainSettings.from_record(model.manifest.params) == settings


@pytest.mark.parametrize("setting", [{"views": True}, {"schedule": "cosine"}])
def test_a_model_of_other_settings_is_refused_in_one_sentence(
    store: Store, setting: dict[str, object]
) -> None:
    """Both were settings once."""
    model = run(store).artifact
    params = {**model.manifest.params, **setting}
    old = replace(model, manifest=model.manifest.model_copy(update={"params": params}))
    with pytest.raises(ArtifactFormatError, match=f"has no more: {next(iter(setting))}$"):
        score(store, old)


def test_scores_of_ratings_are_on_the_scale(store: Store) -> None:
    model = run(store, graph="ratings").artifact
    scores = score(store, model)
    graph = store.resolve("graph", "ratings")
    assert len(scores) == graph.table("edges/user.inter.item.parquet").num_rows
    assert scores.min() >= 0.5 and scores.max() <= 4.0


@pytest.mark.parametrize("graph", ["digits", "ratings"])
@pytest.mark.parametrize("preset", [{}, PLUS | {"objective": "bce"}], ids=["paper", "plus"])
def test_the_control_without_units(store: Store, graph: str, preset: dict[str, object]) -> None:
    settings = TrainSettings.model_validate({**preset, "epochs": 3, "units": "none"})
    model = run(store, settings, graph=graph).artifact
    assert model.ref.name == f"{graph}-{settings.preset}-no-units"
    assert TrainSettings.from_record(model.manifest.params) == settings
    layers = {name.split(".")[1] for name in model.tensors("model.safetensors") if "rrnet" in name}
    assert layers == {"edge_encoder", "decoder"}
    edges = store.resolve("graph", graph).manifest.summary["statistics"]["edges"]
    (inter,) = (count for name, count in edges.items() if ".inter." in name)
    assert len(score(store, model)) == inter


def test_intra_units_pass_over_a_graph_without_intra_edges(store: Store) -> None:
    graph = GraphSettings(intra="none", inter="rated")
    build_graph(graph, store=store, features="ratings", name="unlinked", reporter=QUIET)
    notes = Notes()
    settings = TrainSettings.model_validate({**PLUS, "objective": "bce", "epochs": 3})
    both, inter = (
        run(
            store,
            settings.model_copy(update={"units": units}),
            graph="unlinked",
            reporter=notes,
            name="control",
        ).artifact
        for units in (("intra", "inter"), ("inter",))
    )
    assert notes.lines == ["the graph has no intra-edges: intra units have nothing to do"]
    assert np.array_equal(score(store, both), score(store, inter))


def test_softmax_over_ratings_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="softmax"):
        run(store, TrainSettings(objective="softmax"), graph="ratings")


@pytest.mark.parametrize(("graph", "attributes"), [("digits", "degree"), ("ratings", "none")])
def test_attributes_of_the_other_task_are_refused(
    store: Store, graph: str, attributes: str
) -> None:
    settings = TrainSettings.model_validate({"attributes": attributes})
    with pytest.raises(ConfigError, match=f"attributes {attributes} are not for"):
        run(store, settings, graph=graph)


def test_without_attributes_no_feature_of_an_instance_is_read(store: Store) -> None:
    settings = TrainSettings.model_validate({**PLUS, "epochs": 2, "attributes": "none"})
    weights = run(store, settings).artifact.tensors("model.safetensors")
    encoder = [value for name, value in weights.items() if "node_encoder.left" in name]
    assert max(value.shape[-1] for value in encoder if value.ndim == 2) == settings.hidden
    assert 1 in {value.shape[-1] for value in encoder}


def test_a_gpu_is_refused_in_one_sentence(store: Store) -> None:
    with pytest.raises(ResourceError, match="cuda"):
        run(store, device="cuda")


@pytest.mark.parametrize("engine", ["fused", "dgl"])
def test_the_engine_is_no_part_of_the_version_and_changes_no_result(
    store: Store, engine: str
) -> None:
    plain = run(store, force=True, engine="reference").artifact
    first = plain.tensors("model.safetensors")
    assert run(store, engine=engine).cached
    other = run(store, force=True, engine=engine).artifact
    assert plain.ref.version == other.ref.version
    told = [model.manifest.summary["engine"] for model in (plain, other)]
    assert told == ["reference", engine]
    for name, weight in other.tensors("model.safetensors").items():
        np.testing.assert_allclose(weight, first[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_narrow_storage_is_a_setting_and_changes_rounding_alone(store: Store) -> None:
    wide, narrow = (
        run(store, TrainSettings.model_validate({**PLUS, "epochs": 2, **change})).artifact
        for change in ({}, {"storage": "bfloat16"})
    )
    assert wide.ref.version != narrow.ref.version
    assert "storage" not in wide.manifest.params
    scores, rounded = score(store, wide), score(store, narrow)
    np.testing.assert_allclose(rounded, scores, atol=0.01)
    assert (rounded != scores).any()


def test_an_engine_that_is_not_there_is_refused_in_one_sentence(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="'turbo' is none of auto, dgl, fused"):
        run(store, engine="turbo")

    def absent(name: str, storage: object = None) -> None:
        raise ImportError("numba does not work here: no module of that name")

    monkeypatch.setattr("rrnet_cli.models.engines.choose", absent)
    with pytest.raises(ResourceError, match="fused is not available: numba does not work here"):
        run(store, engine="fused")


def test_a_fused_engine_that_does_not_work_is_said_to_be_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rrnet_cli.models.engines.fused", None)
    notes = Notes()
    model = run(store, force=True, reporter=notes).artifact
    assert model.manifest.summary["engine"] == "dgl"
    (note,) = notes.lines
    assert note.startswith("edge layers are computed by dgl, which is slower: numba does not work")


def test_checkpoints_are_gone_after_the_commit(store: Store) -> None:
    run(store)
    left: list[Path] = list(store.root.glob(".work/**/*.safetensors"))
    assert left == []
    assert isinstance(run(store).artifact, Artifact)
