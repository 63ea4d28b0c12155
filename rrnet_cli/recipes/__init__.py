"""Recipes: one YAML a data set, with the paper's settings (Sec. IV) for every stage."""

from __future__ import annotations

import difflib
from functools import cache
from importlib import resources

from pydantic import ValidationError

from rrnet_cli.errors import ConfigError
from rrnet_cli.recipes import strict_yaml
from rrnet_cli.settings import RecipeSettings

__all__ = ["FOLDERS", "load_recipe", "recipe_names"]

FOLDERS = {
    "esc10": "ESC-10",
    "esc50": "ESC-50",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "filmtrust": "filmtrust",
    "ciao": "ciao",
}
"""Where a recipe's data are below `RRNET_DATA`; a recipe that is not here brings its own."""


@cache
def recipe_names() -> tuple[str, ...]:
    """Names of the shipped recipes, in alphabetical order."""
    entries = resources.files(__name__).iterdir()
    return tuple(sorted(e.name.removesuffix(".yaml") for e in entries if e.name.endswith(".yaml")))


@cache
def load_recipe(name: str) -> RecipeSettings:
    """Read and validate one shipped recipe.

    Raises:
        ConfigError: No such recipe (with the nearest name), or a recipe that breaks the schema.
    """
    if name not in recipe_names():
        near = difflib.get_close_matches(name, recipe_names(), n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"there is no recipe {name!r}", f"{guess}recipes: {', '.join(recipe_names())}"
        )
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    try:
        return RecipeSettings.model_validate(strict_yaml.parse(text, f"{name}.yaml"))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(f"the recipe {name} is not valid: {problems}") from None
