"""The settings of `rrnet train` for one graph, from its recipe down to the flags, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rrnet_cli.cli.parameters import resolve
from rrnet_cli.recipes import load_recipe
from rrnet_cli.settings import PLUS, TrainSettings
from rrnet_cli.training.search import as_text

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact


def train_settings(
    graph: Artifact,
    *,
    config: Path | None = None,
    sets: Sequence[str] = (),
    flags: Mapping[str, object | None] | None = None,
    trial: Sequence[str] = (),
) -> TrainSettings:
    """Resolve the settings of one training; see `parameters.resolve` for the layers and errors.

    Args:
        graph: Its summary names the recipe, if it has one.
        config: YAML file.
        sets: ``key=value`` assignments.
        flags: By key; None where not given.
        trial: What one trial of a sweep varies, as `sets`.
    """
    name = graph.manifest.summary.get("recipe")
    recipe = load_recipe(str(name)) if name else None
    return resolve(
        TrainSettings,
        recipe.train if recipe else None,
        config=config,
        sets=sets,
        flags=flags,
        section="train",
        presets={"paper": {}, "plus": {**PLUS, **(recipe.plus if recipe else {})}},
        trial=trial,
    )


def train_options(settings: TrainSettings, graph: Artifact) -> tuple[str, ...]:
    """The shortest options with which `rrnet train GRAPH` has these settings, but for the seed."""
    plain = train_settings(graph, flags={"preset": settings.preset})
    options = ["--preset", settings.preset]
    for key in type(settings).model_fields:
        value = getattr(settings, key)
        if key not in ("preset", "seed") and value != getattr(plain, key):
            options += ["--set", f"{key}={as_text(value)}"]
    return tuple(options)
