"""Stage `extract`: raw data to features and initial probabilities of both modalities (Sec. IV)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rrnet_cli.datasets import open_dataset
from rrnet_cli.datasets.audio_decode import AUDIO_SUFFIXES
from rrnet_cli.datasets.base import HOLD, AudioSet, ImageSet, OnError, RatingSet, Reader
from rrnet_cli.datasets.files import need_path
from rrnet_cli.datasets.image_decode import IMAGE_SUFFIXES
from rrnet_cli.datasets.manifests import find_table, read_manifest
from rrnet_cli.datasets.share import Share
from rrnet_cli.datasets.splits import NUM_RATING_FOLDS
from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import ExtractSettings
from rrnet_cli.stages import _classification, _text, _weights
from rrnet_cli.stages._backbones import MODALITIES, SAMPLE_RATES, check_backbone
from rrnet_cli.stages._baseline import Training
from rrnet_cli.store.artifact import Key
from rrnet_cli.store.digests import fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store


@dataclass(frozen=True)
class Job:
    """An extraction that is located and not begun.

    Attributes:
        key: Of the features.
        reader: Of the raw data, or of a share of them.
        text: Word vectors; None for ratings.
        trained: Features whose network is used.
        facts: For the summary of whatever is made.
    """

    key: Key
    reader: Reader
    text: _text.TextSource | None
    trained: Artifact | None
    facts: dict[str, Any]


def prepare(
    settings: ExtractSettings,
    *,
    store: Store,
    data: Path | None,
    name: str | None,
    recipe: str | None,
    reporter: Reporter,
    on_error: OnError = "fail",
    weights: str | None = None,
    share: Share | None = None,
) -> Job:
    """Find the data and all else that decides what the features will be, as `extract` says.

    The reader gives the instances of `share`; the key is that of all.
    """
    modality = check_backbone(settings)
    reader = open_dataset(
        settings.data,
        data,
        on_error=on_error,
        sample_rate=SAMPLE_RATES.get(settings.baseline.backbone, SAMPLE_RATES["envnet"]),
        share=share,
    )
    source = reader.source()
    text = None if modality == "rating" else _text.locate(settings.text)
    trained = None if weights is None else store.resolve("features", weights)
    dataset = dataset_name(settings, data, recipe)
    key = Key(
        kind="features",
        name=name or default_name(settings, dataset),
        params=_params(settings, text),
        inputs={} if trained is None else {"weights": trained.ref},
        data=fingerprint(source.root, source.files, reporter.note),
    )
    if trained is not None:
        _weights.check(trained, key, settings)
    facts = {"recipe": recipe, "dataset": dataset, "backbone": settings.baseline.backbone}
    return Job(key, reader, text, trained, facts)


def extract(
    settings: ExtractSettings,
    *,
    store: Store,
    data: Path | None,
    name: str | None,
    recipe: str | None,
    reporter: Reporter,
    force: bool = False,
    resume: bool = True,
    on_error: OnError = "fail",
    device: str = "auto",
    weights: str | None = None,
) -> Outcome:
    """Make the features artifact of a data set.

    Args:
        settings: Of the stage; the artifact's version depends on them, on the content of the raw
            data and on the content (not the name) of the word vectors.
        store: Where artifacts are.
        data: Folder or file of the raw data; None where they come with a library.
        name: Of the artifact; `default_name` where None.
        recipe: Name of the recipe that the settings come from, recorded for later stages.
        reporter: Progress and notes.
        force: Extract again even where the same version is there.
        resume: Go on from an interrupted training's checkpoint.
        on_error: Unreadable files: fail at the first, or skip and list them.
        device: ``auto``, ``cpu`` or ``cuda``; not part of the version.
        weights: Reference of features of the same data whose trained network is used: only `views`,
            `test_crops` and what is held out of SELECT may differ. None to train one.

    Returns:
        The artifact: features and prior of a classification, or ratings with their prior.

    Raises:
        ConfigError: A backbone that does not fit the data, a fold that does not exist.
        InputError: The raw data, a label without a word vector, or a cached artifact in which
            files were skipped while `on_error` is ``fail``.
        ResourceError: Word vectors that are not installed, no such device.
    """
    job = prepare(
        settings,
        store=store,
        data=data,
        name=name,
        recipe=recipe,
        reporter=reporter,
        on_error=on_error,
        weights=weights,
    )

    def build(draft: Draft) -> None:
        # here, so that cached features are answered without torch
        from rrnet_cli.stages import _ratings

        draft.summary.update(job.facts)
        loaded = job.reader.load(reporter)
        check_holdout(settings, loaded.roles)
        if isinstance(loaded, RatingSet):
            _ratings.write(draft, loaded, settings, reporter)
        elif isinstance(loaded, AudioSet | ImageSet) and job.text is not None:
            training = Training(
                workspace=store.workspace(job.key),
                resume=resume and not force,
                device=device,
                reporter=reporter,
                given=None if job.trained is None else _weights.given(job.trained),
            )
            _classification.write(draft, loaded, settings, job.text, training)

    outcome = store.materialise(job.key, build, force=force)
    _check_skipped(outcome, on_error)
    return outcome


def check_holdout(settings: ExtractSettings, roles: NDArray[np.int8]) -> None:
    """Refuse a fraction to hold out that comes to nobody.

    Raises:
        InputError: It does.
    """
    if settings.data.holdout is not None and not (roles == HOLD).any():
        raise InputError(
            f"--holdout {settings.data.holdout:g} of so few instances to "
            f"{settings.data.holdout_of} on is none",
            "give more instances, or a larger fraction",
        )


def dataset_name(settings: ExtractSettings, data: Path | None, recipe: str | None) -> str:
    """What to call the data: the recipe, else the folder's or file's own name."""
    if recipe is not None:
        return recipe
    stem = data.resolve().stem if data is not None else settings.data.layout
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
    return slug[:60] or settings.data.layout


def default_name(settings: ExtractSettings, dataset: str, *, seeded: bool = False) -> str:
    """``esc10-logmel-fold1``, ``cifar10-resnet18-cross5``, ``filmtrust-rating-bias-seed3``.

    Args:
        settings: Of the stage.
        dataset: See `dataset_name`.
        seeded: Name the seed of the split even where it is 0: one of several will be made.
    """
    name = f"{dataset}-{settings.baseline.backbone}"
    if settings.data.fold is not None:
        name += f"-fold{settings.data.fold}"
    if seeded or settings.data.split_seed != 0:
        name += f"-seed{settings.data.split_seed}"
    if settings.baseline.views > 1:
        name += f"-views{settings.baseline.views}"
    if settings.cross_fit is not None:
        name += f"-cross{settings.cross_fit}"
    if settings.data.holdout is not None:
        of = "select" if settings.data.holdout_of == "select" else ""
        name += f"-hold{of}{settings.data.holdout:g}"
    return name


def folds(settings: ExtractSettings, data: Path | None) -> tuple[int, ...]:
    """The folds that a data set has, in ascending order.

    Raises:
        ConfigError: It has none.
        InputError: As its reader's `source`.
    """
    if MODALITIES[settings.data.layout] == "rating":
        return tuple(range(1, NUM_RATING_FOLDS + 1))
    unfolded = settings.data.model_copy(update={"fold": None})
    plan = getattr(open_dataset(unfolded, data, on_error="skip"), "plan", None)
    numbers = None if plan is None else plan.located.catalogue.folds
    if numbers is None:
        raise ConfigError(
            f"the data have no folds (layout {settings.data.layout})", "leave out --fold"
        )
    return tuple(sorted(set(numbers.tolist())))


def manifest_modality(data: Path | None) -> str:
    """Whether a table lists sounds or pictures, by the ending of its first file.

    Returns:
        ``audio`` or ``image``.

    Raises:
        ConfigError: No path.
        InputError: No such table, or neither sounds nor pictures.
    """
    table = find_table(need_path(data, "a CSV or Parquet table with the columns path and label"))
    first = read_manifest(table).ids[0]
    suffix = Path(first).suffix.lower()
    for modality, suffixes in (("audio", AUDIO_SUFFIXES), ("image", IMAGE_SUFFIXES)):
        if suffix in suffixes:
            return modality
    raise InputError(
        f"{table.name} lists neither sounds nor pictures: its first file is {first}",
        f"known endings: {', '.join((*AUDIO_SUFFIXES, *IMAGE_SUFFIXES))}",
    )


def _params(settings: ExtractSettings, text: _text.TextSource | None) -> dict[str, Any]:
    """The settings, with the word vectors named by content: paths are never recorded."""
    params = settings.recorded()
    if text is not None:
        params["text"]["vectors"] = f"sha256:{text.digest}"
    return params


def _check_skipped(outcome: Outcome, on_error: OnError) -> None:
    """An artifact made under ``skip`` is no answer to who asked for ``fail``."""
    skipped = outcome.artifact.manifest.summary.get("skipped", 0)
    if outcome.cached and skipped and on_error == "fail":
        raise InputError(
            f"{skipped} unreadable files were left out of {outcome.artifact.ref}",
            "mend them, or accept that with --on-error skip",
        )
