"""What is run for a row of a table: a data set with a baseline, and its settings at every stage.

The settings are those of the recipes and presets, the names those of `pipelines/`, so that tables,
pipelines and commands given by hand share their artifacts. Only what the pipelines set beside the
recipes is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

from rrnet_cli.base_settings import Settings
from rrnet_cli.evaluation.kept_pages import KeptPage
from rrnet_cli.recipes import FOLDERS, load_recipe
from rrnet_cli.settings import PLUS, ExtractSettings, GraphSettings, TrainSettings

Preset = Literal["paper", "plus"]
PRESETS: tuple[Preset, ...] = ("paper", "plus")
LIMITS = {"esc10": 3, "esc50": 2, "cifar10": 5, "cifar100": 2, "filmtrust": 5, "ciao": 10}
"""`data.limit` of a recipe under the fast budget."""

_Model = TypeVar("_Model", bound=Settings)


@dataclass(frozen=True)
class Options:
    """What a user asked for.

    Attributes:
        data: Folder of data sets, each in the folder that `FOLDERS` names.
        fast: Few instances and epochs: checks the way.
        only: Rows to run; empty for those that are run by default.
        folds, seeds: Instead of a table's own; empty for its own.
        values: Of the setting that Table V or a figure varies, those to run; empty for all.
        presets: Which to train.
        epochs: Of the baselines of sounds and pictures, instead of a table's own.
        peers: Whether to run other methods.
        word_vectors: Name or file, instead of the recipes' own.
        commit: Of this code, as it stands in the tables.
        kept: Gives what an earlier run wrote; its rows stay where this one runs none. Asked for
            when all is run: another run may have written meanwhile.
    """

    data: Path
    fast: bool = False
    only: Sequence[str] = ()
    folds: Sequence[int] = ()
    seeds: Sequence[int] = ()
    values: Sequence[int] = ()
    presets: Sequence[Preset] = PRESETS
    epochs: int | None = None
    peers: bool = True
    word_vectors: str | None = None
    commit: str = ""
    kept: Callable[[], KeptPage] = KeptPage

    def chosen_folds(self) -> tuple[int, ...]:
        """Five, or two under the fast budget."""
        return tuple(self.folds) or ((1, 2) if self.fast else (1, 2, 3, 4, 5))

    def chosen_seeds(self, count: int) -> tuple[int, ...]:
        """0 to `count`, or two under the fast budget."""
        return tuple(self.seeds) or tuple(range(2 if self.fast else count))


@dataclass(frozen=True)
class Case:
    """A data set with a baseline.

    Attributes:
        name: What the names of its artifacts begin with.
        recipe: Where its settings come from.
        vary: What tells its runs apart; `once` where there is only one.
        runs: Folds or seeds.
        data, baseline: Settings of `extract` beside the recipe's.
        paper: Settings of `train` beside the recipe's, under `paper`.
        inter: Inter-edges by preset, where each preset has a graph of its own.
        weights_of: Whose trained network it uses; None to train its own.
        features_of: Whose features it uses; None to extract its own.
        neighbours: Whose features tell which instances are near; None for its own.
        presets: Which are trained on it, of those that are asked for.
        peers: Whether other methods are run on it.
    """

    name: str
    recipe: str
    vary: Literal["fold", "seed", "once"]
    runs: tuple[int, ...] = (0,)
    data: Mapping[str, object] = field(default_factory=dict)
    baseline: Mapping[str, object] = field(default_factory=dict)
    paper: Mapping[str, object] = field(default_factory=dict)
    inter: Mapping[Preset, Literal["topk", "rated", "all"]] = field(default_factory=dict)
    weights_of: Case | None = None
    features_of: Case | None = None
    neighbours: Case | None = None
    presets: tuple[Preset, ...] = PRESETS
    peers: bool = True

    @property
    def folder(self) -> str:
        """Name of its data's folder."""
        return FOLDERS[self.recipe]

    def run_name(self, run: int, options: Options) -> str:
        """Name of the features of one run: `esc10-logmel-fold1`, `filmtrust-seed0-fast`."""
        name = self.name if self.vary == "once" else f"{self.name}-{self.vary}{run}"
        return f"{name}-fast" if options.fast else name

    def joint_name(self, options: Options) -> str:
        """What the evaluations over all runs are named after."""
        return f"{self.name}-fast" if options.fast else self.name

    def extract(self, run: int, options: Options) -> ExtractSettings:
        """Settings of `extract` for one run."""
        recipe = load_recipe(self.recipe).extract
        data, baseline = dict(self.data), dict(self.baseline)
        if options.epochs is not None and self.vary != "seed":
            baseline["epochs"] = options.epochs
        if options.fast:
            data["limit"] = LIMITS[self.recipe]
            # measuring which precision is faster takes longer than the training
            baseline |= {"epochs": 1, "precision": "float32", "test_crops": 1}
            if "views" in baseline:
                baseline["views"] = 2
            if baseline.get("backbone") == "rating-factors":
                baseline["factor_reg"] = 1.0  # nothing to choose
        if self.vary != "once":
            data["fold" if self.vary == "fold" else "split_seed"] = run
        text = {} if options.word_vectors is None else {"vectors": options.word_vectors}
        return _with(
            recipe,
            data=_with(recipe.data, **data),
            baseline=_with(recipe.baseline, **baseline),
            text=_with(recipe.text, **text),
            seed=run if self.vary == "seed" else recipe.seed,
        )

    def graph(self, preset: Preset, options: Options, **changes: object) -> GraphSettings:
        """Settings of `build-graph`; `changes` are those of a sweep."""
        own = {"inter": self._inter(preset, options)} if self.inter else {}
        return _with(load_recipe(self.recipe).graph, **own, **changes)

    def graph_name(self, run: int, preset: Preset, options: Options) -> str:
        """Name of the graph, without the suffix of a sweep."""
        name = self.run_name(run, options)
        return f"{name}-{self._inter(preset, options)}" if self.inter else name

    def train(self, preset: Preset, run: int, options: Options, **changes: object) -> TrainSettings:
        """Settings of `train` for one run; `changes` are those of a sweep."""
        recipe = load_recipe(self.recipe)
        layers = {**PLUS, **recipe.plus} if preset == "plus" else dict(self.paper)
        if self.vary == "seed":
            layers["seed"] = run
        if options.fast:
            layers["epochs"] = 3
        return _with(recipe.train, **{**layers, **changes})

    def _inter(self, preset: Preset, options: Options) -> str:
        return "rated" if options.fast else self.inter[preset]


def _with(settings: _Model, **changes: object) -> _Model:
    """A validated copy with some fields replaced."""
    return type(settings).model_validate({**settings.model_dump(), **changes})


def sound(data: str, backbone: str, options: Options, **baseline: object) -> Case:
    """ESC-10 or ESC-50 by folds, under one backbone."""
    recipe = data.lower().replace("-", "")
    return Case(
        name=f"{recipe}-{backbone}",
        recipe=recipe,
        vary="fold",
        runs=options.chosen_folds(),
        baseline={"backbone": backbone, **baseline},
    )


def picture(data: str, backbone: str, stem: str = "imagenet", **baseline: object) -> Case:
    """CIFAR-10 or CIFAR-100, whose split is given, under one backbone and stem."""
    recipe = data.lower().replace("-", "")
    return Case(
        name=f"{recipe}-{backbone}" + ("" if stem == "imagenet" else f"-{stem}"),
        recipe=recipe,
        vary="once",
        baseline={"backbone": backbone, "stem": stem, **baseline},
    )


def with_views(case: Case, views: int) -> Case:
    """A case of pictures with features averaged over views, by the network of the case itself."""
    return replace(
        case,
        name=f"{case.name}-views{views}",
        baseline={**case.baseline, "views": views},
        weights_of=case,
    )


def with_holdout(case: Case, share: float) -> Case:
    """A case whose baseline leaves a share of its instances to supervise RR-Net."""
    return replace(case, name=f"{case.name}-holdout", data={**case.data, "holdout": share})


def with_select_held(case: Case, share: float) -> Case:
    """A case in which a share of SELECT supervises RR-Net; the network is that of the case."""
    return replace(
        case,
        name=f"{case.name}-holdselect",
        data={**case.data, "holdout": share, "holdout_of": "select"},
        weights_of=case,
    )


def with_neighbours(case: Case, other: Case, name: str) -> Case:
    """A case whose instances are near by the features of another one, of the same roles."""
    return replace(case, name=name, features_of=case, neighbours=other)


def filmtrust(options: Options) -> Case:
    """FilmTrust; `paper` links every user with every item, `plus` reads the rated pairs."""
    return Case(
        name="filmtrust",
        recipe="filmtrust",
        vary="seed",
        runs=options.chosen_seeds(5),
        paper={"patience": 60},
        inter={"paper": "all", "plus": "rated"},
    )


def ciao(options: Options, *, core: bool = False) -> Case:
    """Ciao, in full or the core that comes nearest to the paper's Table III."""
    return Case(
        name="ciao-core" if core else "ciao",
        recipe="ciao",
        vary="seed",
        runs=options.chosen_seeds(3),
        data={"core_users": 3, "core_items": 9} if core else {},
    )


def with_factors(case: Case) -> Case:
    """A case of ratings on the stronger baseline.

    `paper` does not read the prior of a rating and peers do not either: both are as they were.
    """
    return replace(
        case,
        name=f"{case.name}-factors",
        baseline={"backbone": "rating-factors"},
        presets=("plus",),
        peers=False,
    )
