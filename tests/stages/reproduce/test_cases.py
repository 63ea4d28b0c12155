"""The cases have the names and settings of the pipelines, so that both share their artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from rrnet_cli.cli.parameters import known_keys, resolve
from rrnet_cli.recipes import load_recipe
from rrnet_cli.settings import PLUS, ExtractSettings, GraphSettings, TrainSettings
from rrnet_cli.stages.reproduce import sweeps, table1, table2
from rrnet_cli.stages.reproduce.cases import (
    LIMITS,
    Case,
    Options,
    ciao,
    filmtrust,
    picture,
    sound,
    with_factors,
)
from tests.e2e.test_pipelines import recorded

OPTIONS = Options(data=Path("data"))
FAST = Options(data=Path("data"), fast=True)
MODELS = {"extract": ExtractSettings, "build-graph": GraphSettings, "train": TrainSettings}


def stages(case: Case, options: Options) -> dict[tuple[str, str], object]:
    """Stage and name to settings, as the chain asks for them."""
    found: dict[tuple[str, str], object] = {}
    for run in case.runs:
        name = case.run_name(run, options)
        found["extract", name] = case.extract(run, options)
        for preset in case.presets:
            graph = case.graph_name(run, preset, options)
            found["build-graph", graph] = case.graph(preset, options)
            found["train", f"{name}-{preset}"] = case.train(preset, run, options)
    found |= {("eval", f"{case.joint_name(options)}-{preset}"): None for preset in case.presets}
    return found


def commands(recipe_name: str, lines: Sequence[Sequence[str]]) -> dict[tuple[str, str], object]:
    """The same of a pipeline's command lines, resolved as the command line resolves them."""
    recipe = load_recipe(recipe_name)
    bases = {"extract": recipe.extract, "build-graph": recipe.graph, "train": recipe.train}
    found: dict[tuple[str, str], object] = {}
    for stage, first, *_ in lines:
        line = lines[len(found)]
        flags = {f[2:].replace("-", "_"): v for f, v in pairwise(line) if f.startswith("--")}
        name = flags.pop("name", f"{first}-{flags.get('preset')}" if stage == "train" else first)
        if stage == "eval":
            found[stage, name] = None
            continue
        sets = [flags.pop("set")] if "set" in flags else []
        keys = known_keys(MODELS[stage])
        by_leaf = {key.rpartition(".")[2]: key for key in reversed(keys)}
        by_leaf |= {"word_vectors": "text.vectors", "seed": "seed"}
        flags.pop("data", None)
        found[stage, name] = resolve(
            MODELS[stage],
            bases[stage],
            sets=sets,
            flags={
                by_leaf[flag]: tuple(value.split(",")) if flag == "units" else value
                for flag, value in flags.items()
            },
            section=stage,
            presets={"paper": {}, "plus": {**PLUS, **recipe.plus}} if stage == "train" else None,
        )
    return found


def of_table(module: object, name: str) -> Case:
    (line,) = [line for line in module.lines(OPTIONS) if line.case and line.case.name == name]
    return line.case


FACTORS = {"BACKBONE": "rating-factors", "PRESETS": "plus"}
PAIRS = [
    ("esc10", {}, of_table(table1, "esc10-logmel")),
    ("esc10", {"BACKBONE": "envnet", "EPOCHS": "150"}, of_table(table1, "esc10-envnet")),
    ("esc10", {"BACKBONE": "m18"}, of_table(table1, "esc10-m18")),
    ("esc50", {"BACKBONE": "envnet_v2"}, of_table(table1, "esc50-envnet_v2")),
    ("cifar10", {}, of_table(table2, "cifar10-resnet18")),
    ("cifar10", {"BACKBONE": "mobilenet_v2"}, of_table(table2, "cifar10-mobilenet_v2")),
    ("cifar10", {"STEM": "cifar", "EPOCHS": "20"}, of_table(table2, "cifar10-resnet18-cifar")),
    ("cifar100", {"BACKBONE": "resnet50"}, of_table(table2, "cifar100-resnet50")),
    ("filmtrust", {}, filmtrust(OPTIONS)),
    ("ciao", {}, ciao(OPTIONS)),
    ("filmtrust", FACTORS, with_factors(filmtrust(OPTIONS))),
    ("ciao", FACTORS, with_factors(ciao(OPTIONS))),
]


@pytest.mark.parametrize(("recipe", "env", "case"), PAIRS, ids=lambda value: str(value)[:40])
def test_a_case_is_what_its_pipeline_runs(recipe, env, case, tmp_path):
    theirs = commands(recipe, recorded(recipe, tmp_path, DATA="d", **env))
    assert stages(case, OPTIONS) == theirs


@pytest.mark.parametrize("case", [sound("ESC-10", "envnet", FAST), ciao(FAST, core=True)])
def test_fast_artifacts_have_names_of_their_own(case):
    assert not set(stages(case, FAST)) & set(stages(case, OPTIONS))
    assert all("-fast" in name for _, name in stages(case, FAST))
    settings = case.extract(case.runs[0], FAST)
    assert settings.data.limit == LIMITS[case.recipe] and settings.baseline.epochs == 1
    assert case.train("plus", 0, FAST).epochs == 3


def test_runs_may_be_chosen():
    options = Options(data=Path("data"), folds=[3], seeds=[7, 8], epochs=5, word_vectors="v.txt")
    assert sound("ESC-10", "envnet", options).runs == (3,)
    assert filmtrust(options).runs == ciao(options).runs == (7, 8)
    settings = sound("ESC-10", "envnet", options, epochs=150).extract(3, options)
    assert (settings.data.fold, settings.baseline.epochs) == (3, 5)
    assert settings.text.vectors == "v.txt"
    assert filmtrust(options).extract(7, options).seed == 7
    assert picture("CIFAR-10", "resnet18").extract(0, options).baseline.epochs == 5


def test_stacks_of_units_pass_through_the_papers():
    assert sweeps.units(2)["units"] == load_recipe("esc10").train.units
    assert sweeps.units(5)["units"] == load_recipe("filmtrust").train.units
    assert [len(sweeps.units(n)["units"]) for n in range(1, 8)] == list(range(1, 8))
    assert sweeps.units(1)["units"] == ("inter",)
