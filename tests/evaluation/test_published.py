"""The paper's figures of RR-Net stand once for tables and once in the recipes: the two agree."""

from __future__ import annotations

import pytest

from rrnet_cli.evaluation.published import TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5
from rrnet_cli.recipes import load_recipe

BACKBONES = {"resnet18": "ResNet18", "resnet50": "ResNet50", "mobilenet_v2": "MobileNetV2"}


@pytest.mark.parametrize("recipe", ["esc10", "esc50"])
def test_sounds(recipe):
    printed = TABLE_1[recipe.upper().replace("ESC", "ESC-")]
    assert load_recipe(recipe).paper == {"top1.envnet": printed["RR-Net"].value}


@pytest.mark.parametrize("recipe", ["cifar10", "cifar100"])
def test_pictures(recipe):
    printed = TABLE_2[recipe.upper().replace("CIFAR", "CIFAR-")]
    assert load_recipe(recipe).paper == {
        f"top1.{backbone}": printed[name][1].value for backbone, name in BACKBONES.items()
    }


@pytest.mark.parametrize(("recipe", "data"), [("filmtrust", "FilmTrust"), ("ciao", "Ciao")])
def test_ratings(recipe, data):
    mae, rmse = TABLE_4[data]["RR-Net"]
    assert load_recipe(recipe).paper == {"mae": mae.value, "rmse": rmse.value}


def test_every_column_of_a_table_has_the_same_rows():
    for table in (TABLE_1, TABLE_2, TABLE_3, TABLE_4):
        assert len({tuple(rows) for rows in table.values()}) == 1


def test_the_best_of_table_5_are_the_figures_of_tables_1_and_2():
    assert TABLE_5["ESC-50"][20].value == TABLE_1["ESC-50"]["RR-Net"].value
    assert TABLE_5["CIFAR-100"][15].value == TABLE_2["CIFAR-100"]["ResNet18"][1].value
