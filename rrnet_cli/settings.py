"""The parameters of every stage: the CLI's defaults, the recipes' schema, the manifests' record.

All models are frozen, refuse unknown keys, and hold only what changes a result. What does not
(the device, the number of workers, paths, verbosity) is an argument of the stage function instead.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from rrnet_cli.base_settings import Settings

Layout = Literal[
    "esc",
    "audio-folder",
    "image-folder",
    "image-parquet",
    "cifar-binary",
    "digits",
    "audio-manifest",
    "image-manifest",
    "ratings",
    "ciao",
]
Backbone = Literal[
    "envnet",
    "envnet_v2",
    "m18",
    "logmel",
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "pixels",
    "rating-bias",
    "rating-factors",
]
SOUND_NETWORKS = ("envnet", "envnet_v2", "m18")
"""The backbones that hear raw samples."""
PICTURE_NETWORKS = ("resnet18", "resnet50", "mobilenet_v2")
"""The backbones that are trained on pictures."""
Unit = Literal["intra", "inter"]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]


class DataSettings(Settings):
    """Which raw data, and who belongs to which split."""

    later: ClassVar = frozenset({"holdout", "holdout_of"})

    layout: Layout
    subset: str | None = Field(None, description="esc: `esc10` or unset for all 50 classes.")
    fold: Positive | None = Field(None, description="The fold held out as the test set.")
    val_fraction: Fraction = Field(0.1, description="Part of the training instances to select on.")
    test_fraction: Fraction = Field(0.1, description="Part to test on where no split is given.")
    holdout: Fraction | None = Field(
        None, description="Part of `holdout_of` that supervises RR-Net alone."
    )
    holdout_of: Literal["fit", "select"] = Field(
        "fit", description="What is held out: instances to fit on, or to select on."
    )
    split_seed: int = Field(0, description="Seed of every random split.")
    limit: Positive | None = Field(None, description="At most so many instances a class and split.")
    image_size: Positive | None = Field(None, description="Square side to resize pictures to.")
    rating_min: float | None = Field(None, description="Lowest rating of the scale.")
    rating_max: float | None = Field(None, description="Highest rating of the scale.")
    duplicates: Literal["mean", "last", "error"] = Field(
        "mean", description="Ratings of one user-item pair given twice: merged, last kept, refused."
    )
    core_users: int = Field(0, ge=0, description="Iterated core: fewest ratings of a user.")
    core_items: int = Field(0, ge=0, description="Iterated core: fewest ratings of an item.")

    @model_validator(mode="after")
    def _scale_is_ordered(self) -> DataSettings:
        low, high = self.rating_min, self.rating_max
        if low is not None and high is not None and low >= high:
            raise ValueError("rating_min must be below rating_max")
        return self

    @model_validator(mode="after")
    def _holdout_has_a_size(self) -> DataSettings:
        if self.holdout_of != "fit" and self.holdout is None:
            raise ValueError("holdout_of says of what: set holdout, the fraction, too")
        return self


class BaselineSettings(Settings):
    """The baseline that gives features and prior (paper Sec. IV), and how it is trained."""

    later: ClassVar = frozenset({"between_class", "strong_augment", "factor_reg", "views"})

    backbone: Backbone
    stem: Literal["imagenet", "cifar"] = "imagenet"
    feature_dim: Positive = Field(512, description="Width of the representation (paper: 512).")
    epochs: Positive = 30
    batch_size: Positive = 128
    lr: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["constant", "cosine", "step", "warmup"] = Field(
        "constant",
        description="step: x0.1 after 50 % and 75 % of the epochs; warmup: 10 epochs at a tenth, "
        "x0.1 after 30 %, 60 % and 90 %.",
    )
    augment: bool = Field(True, description="Random crop and flip (images).")
    between_class: bool = Field(
        False, description="Train on mixes of two clips of different classes (sound networks)."
    )
    strong_augment: bool = Field(
        False, description="Random speed and loudness in training (sound networks)."
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    views: int = Field(
        1, ge=1, le=10, description="Pictures: features are averaged over so many flips and shifts."
    )
    test_crops: Positive = Field(10, description="Crops averaged per clip (sound networks).")
    user_reg: float | None = Field(
        None, ge=0, description="Damping of user biases (ratings); unset: chosen on `select`."
    )
    item_reg: float | None = Field(
        None, ge=0, description="Damping of item biases (ratings); unset: chosen on `select`."
    )
    factor_reg: float | None = Field(
        None, gt=0, description="Damping of factors (rating-factors); unset: chosen on `select`."
    )
    embedding_dim: Positive = Field(128, description="Width of user and item attributes.")

    @model_validator(mode="after")
    def _fits_the_backbone(self) -> BaselineSettings:
        if self.views > 1 and self.backbone not in PICTURE_NETWORKS:
            raise ValueError(f"views is for the backbones {', '.join(PICTURE_NETWORKS)}")
        if self.backbone not in SOUND_NETWORKS:
            for name in ("between_class", "strong_augment"):
                if getattr(self, name):
                    raise ValueError(f"{name} is for the backbones {', '.join(SOUND_NETWORKS)}")
        return self


class TextSettings(Settings):
    """Word vectors for the label modality."""

    vectors: str = Field(
        "glove-6b-50d", description="Packaged or gensim-data name, or a file name."
    )
    oov: Literal["error", "zeros", "skip-word"] = Field(
        "error", description="A label word without a vector: refuse, zeros, or leave it out."
    )


class ExtractSettings(Settings):
    """Stage `extract`."""

    later: ClassVar = frozenset({"cross_fit"})

    data: DataSettings
    baseline: BaselineSettings
    text: TextSettings = TextSettings()
    cross_fit: int | None = Field(
        None, ge=2, description="So many baselines give an out-of-fold prior of what is fitted."
    )
    seed: int = Field(0, ge=0)


class GraphSettings(Settings):
    """Stage `build-graph` (paper Sec. III-B)."""

    later: ClassVar = frozenset({"shuffle_intra", "knn"})

    intra: Literal["knn", "links", "none"] = "knn"
    knn: Literal["exact", "approx", "auto"] = Field(
        "exact",
        description="How neighbours are searched; auto is recorded as what it comes to: approx "
        "where a side with neighbours has more than 100,000 nodes.",
    )
    k_intra: Positive = Field(10, description="Nearest neighbours of a left node.")
    k_intra_right: int = Field(2, ge=0, description="Nearest neighbours of a right node; 0: none.")
    metric: Literal["cosine", "l2"] = "cosine"
    inter: Literal["topk", "rated", "all"] = "topk"
    k_inter: Positive = Field(20, description="Candidates of a left node by its prior.")
    shuffle_intra: int | None = Field(
        None, ge=0, description="Seed: who has which intra-edges is permuted; unset: as it is."
    )


class PartitionSettings(Settings):
    """Stage `partition`."""

    parts: int = Field(2, ge=2, description="Number of parts, one for each host.")


class TrainSettings(Settings):
    """Stage `train` (paper Sec. III-C, III-D). The defaults are the `paper` preset."""

    later: ClassVar = frozenset(
        {
            "attributes",
            "refit_prior",
            "refits",
            "messages",
            "votes",
            "views",
            "batch_size",
            "fanout",
            "storage",
        }
    )
    retired: ClassVar = {"edge_weight": False, "residual": False, "dropout": 0.0}

    preset: Literal["paper", "plus"] = "paper"
    units: tuple[Unit, ...] = Field(
        ("intra", "inter"), description="Stack of GCN units; `none`: each inter-edge alone."
    )
    hidden: Positive = 16
    init: Literal["he", "torch"] = Field(
        "he", description="He-normal weights, or PyTorch's default (which barely trains here)."
    )
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    epochs: Positive = 500
    patience: Positive | None = Field(None, description="Epochs without gain before stopping.")
    seed: int = Field(0, ge=0)
    attributes: Literal["learned", "degree", "none"] = Field(
        "learned",
        description="Ratings: users and items are learned vectors, or how often they are rated. "
        "Classes: learned is the extracted features; none leaves those of instances out.",
    )
    normalise: Literal["none", "standard"] = Field(
        "standard", description="Raw node features as they are, or standardised a column."
    )
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="Over supervised edges; eq. (9) is a sum (its scale is clipped below)."
    )
    prior: Literal["none", "input", "residual"] = "none"
    context: bool = Field(False, description="Known targets of fitted instances as edge input.")
    messages: Literal["all", "known"] = Field(
        "all",
        description="Inter-edges that the means of nodes are of: all in the graph, or those of "
        "known target; with context, as far as a step shows them.",
    )
    votes: bool = Field(
        False,
        description="Classes: the share of an instance's shown neighbours that match a candidate "
        "is an input of their edge (with context).",
    )
    views: Literal["none", "input", "residual"] = Field(
        "none",
        description="Pictures extracted with several views: the baseline's answer over all of "
        "them is an input of inter-edges, and what a residual prior starts from.",
    )
    refit_prior: bool = Field(
        False,
        description="The baseline, unless it is a network, is fitted anew on what a step shows.",
    )
    refits: Positive | None = Field(
        None,
        description="So many masks are drawn once, each with its refitted prior, and used "
        "in turn; unset: a new one every epoch.",
    )
    mask_rate: float = Field(0.5, gt=0, le=1, description="Fitted instances masked an epoch.")
    objective: Literal["bce", "softmax"] = "bce"
    clip_norm: float | None = Field(10.0, gt=0, description="Gradient norm is clipped here.")
    batch_size: Positive | None = Field(
        None, description="Supervising instances (or users) a step; unset: one step on all."
    )
    fanout: tuple[int, ...] = Field(
        (), validate_default=True, description="Edges drawn a node, for each hop from a batch."
    )

    storage: Literal["float32", "bfloat16"] = Field(
        "float32", description="Edge attributes between layers; bfloat16 takes half the memory."
    )

    @property
    def label(self) -> str:
        """What models are named by: the preset, with `-no-units` behind it for that control."""
        return self.preset if self.units else f"{self.preset}-no-units"

    @field_validator("units", mode="before")
    @classmethod
    def _none_is_an_empty_stack(cls, value: object) -> object:
        return () if value == "none" or value in (["none"], ("none",)) else value

    @field_validator("fanout", mode="before")
    @classmethod
    def _one_hop_is_a_number(cls, value: object) -> object:
        return (value,) if isinstance(value, int) else value

    @field_validator("fanout")
    @classmethod
    def _goes_with_the_batch_size(cls, value: tuple[int, ...], info: ValidationInfo) -> object:
        if any(count < 1 and count != -1 for count in value):
            raise ValueError("each hop draws at least one edge, or -1 for all")
        if "batch_size" in info.data and bool(value) == (info.data["batch_size"] is None):
            raise ValueError("batch_size and fanout go together, neither without the other")
        return value


PLUS: dict[str, object] = {
    "preset": "plus",
    "optimizer": "adamw",
    "lr": 0.003,
    "weight_decay": 0.01,
    "epochs": 200,
    "patience": 30,
    "prior": "residual",
    "context": True,
    "votes": True,
    "refit_prior": True,
    "refits": 30,
    "objective": "softmax",
    "mask_rate": 0.3,
}
"""What `--preset plus` changes against the paper; each is a switch of its own."""


class RangeSettings(Settings):
    """The values that a search at random draws from: uniform, or uniform in the logarithm."""

    low: float
    high: float
    log: bool = False
    whole: bool = Field(False, description="Draw whole numbers.")


class SweepSettings(Settings):
    """Command `sweep`: which settings of stage `train` are tried; values are texts of `--set`."""

    grid: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    ranges: dict[str, RangeSettings] = Field(default_factory=dict)
    trials: Positive | None = Field(
        None, description="So many settings are drawn at random; unset: the whole grid."
    )
    seed: int = Field(0, ge=0, description="Of the draws.")


class EvalSettings(Settings):
    """Stage `eval`."""

    later: ClassVar = frozenset({"plots", "average"})

    split: Literal["test", "select"] = "test"
    resamples: Positive = Field(2000, description="Paired bootstrap resamples.")
    confidence: Fraction = 0.95
    bins: Positive = Field(15, description="Bins of the calibration error.")
    seed: int = Field(0, ge=0)
    plots: bool = Field(True, description="Whether to draw.")
    average: bool = Field(False, description="Models of one graph answer together, by their mean.")


class RecipeSettings(Settings):
    """One data set's defaults for all stages: `rrnet_cli/recipes/NAME.yaml`."""

    name: str
    description: str
    extract: ExtractSettings
    graph: GraphSettings
    train: TrainSettings
    plus: dict[str, object] = Field(default_factory=dict, description="Overrides under `plus`.")
    paper: dict[str, float] = Field(
        default_factory=dict, description="The paper's own figures, `METRIC` or `METRIC.BACKBONE`."
    )
