"""Every shipped recipe is valid and says what the paper's Sec. IV says."""

from __future__ import annotations

import pytest

from rrnet_cli.cli.parameters import resolve
from rrnet_cli.errors import ConfigError
from rrnet_cli.recipes import load_recipe, recipe_names
from rrnet_cli.settings import PLUS, TrainSettings
from rrnet_cli.stages._backbones import check_backbone

NAMES = ("ciao", "cifar10", "cifar100", "digits", "esc10", "esc50", "filmtrust")
FIVE = ("intra", "inter", "intra", "inter", "inter")


def test_names():
    assert recipe_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_recipe_is_valid_and_carries_its_name(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    check_backbone(recipe.extract)
    assert recipe.train.hidden == 16
    assert (recipe.train.optimizer, recipe.train.momentum) == ("sgd", 0.9)
    assert recipe.train.weight_decay == 5e-4


@pytest.mark.parametrize("name", NAMES)
def test_preset_plus_fits_the_recipe(name):
    recipe = load_recipe(name)
    plus = {**PLUS, **recipe.plus}
    settings = resolve(
        TrainSettings,
        recipe.train,
        flags={"preset": "plus"},
        section="train",
        presets={"plus": plus},
    )
    assert settings.preset == "plus"
    if "ratings" in recipe.extract.data.layout or name == "ciao":
        assert settings.objective == "bce"


@pytest.mark.parametrize(
    ("name", "k_intra", "k_right", "k_inter", "units", "lr"),
    [
        ("esc10", 5, 2, 10, ("intra", "inter"), 0.01),
        ("esc50", 10, 2, 20, ("intra", "inter"), 0.1),
        ("cifar10", 10, 2, 10, FIVE, 0.01),
        ("cifar100", 20, 3, 15, FIVE, 0.01),
    ],
)
def test_paper_settings_of_classification(name, k_intra, k_right, k_inter, units, lr):
    recipe = load_recipe(name)
    graph, train = recipe.graph, recipe.train
    assert (graph.intra, graph.inter) == ("knn", "topk")
    assert (graph.k_intra, graph.k_intra_right, graph.k_inter) == (k_intra, k_right, k_inter)
    assert (train.units, train.lr) == (units, lr)
    assert recipe.extract.baseline.feature_dim == 512


@pytest.mark.parametrize(("name", "inter"), [("filmtrust", "all"), ("ciao", "rated")])
def test_paper_settings_of_recommendation(name, inter):
    recipe = load_recipe(name)
    assert (recipe.graph.intra, recipe.graph.inter) == ("links", inter)
    assert recipe.graph.k_intra_right == 0
    assert (recipe.train.units, recipe.train.lr, recipe.train.epochs) == (FIVE, 0.01, 500)
    assert recipe.extract.baseline.embedding_dim == 128


def test_paper_figures():
    assert load_recipe("esc50").paper == {"top1.envnet": 80.8}
    assert load_recipe("cifar100").paper["top1.resnet50"] == 73.76
    assert load_recipe("filmtrust").paper == {"mae": 0.646, "rmse": 0.824}
    assert load_recipe("digits").paper == {}


@pytest.mark.parametrize("name", ["esc-10", "../esc10", "", "recipes/esc10"])
def test_unknown_name(name):
    with pytest.raises(ConfigError, match="there is no recipe") as caught:
        load_recipe(name)
    assert "esc50" in str(caught.value.hint)
