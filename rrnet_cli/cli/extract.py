"""`rrnet extract`: raw data to a features artifact."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rrnet_cli.errors import ConfigError
from rrnet_cli.recipes import FOLDERS, load_recipe, recipe_names
from rrnet_cli.settings import ExtractSettings

if TYPE_CHECKING:
    from rrnet_cli.cli.console import Session
    from rrnet_cli.store.store import Outcome

LAYOUTS = {
    "audio-folder": ("audio-folder", "logmel"),
    "audio-manifest": ("audio-manifest", "logmel"),
    "image-folder": ("image-folder", "resnet18"),
    "image-manifest": ("image-manifest", "resnet18"),
    "ratings": ("ratings", "rating-bias"),
}
"""The user's own data: word on the command line to layout and default backbone."""


def extract(
    ctx: typer.Context,
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="A recipe (ciao, cifar10, cifar100, digits, esc10, esc50, filmtrust), or the form "
            "of your own data: audio-folder, image-folder, manifest, ratings.",
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Folder or file of the raw data. [$RRNET_DATA/<folder>]"),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="envnet, envnet_v2, m18, logmel; resnet18, resnet50, mobilenet_v2, pixels; "
            "rating-bias, rating-factors. [recipe]",
        ),
    ] = None,
    stem: Annotated[
        str | None, typer.Option(metavar="NAME", help="imagenet or cifar (3x3). [recipe]")
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option(metavar="N|all", help="Fold to test on; all: an artifact a fold. [recipe]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of the baseline's training. [recipe]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Instances a step. [recipe]")] = None,
    lr: Annotated[float | None, typer.Option(help="Initial learning rate. [recipe]")] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="NAME", help="constant, cosine, step, warmup. [recipe]")
    ] = None,
    between_class: Annotated[
        bool | None, typer.Option(help="Train on mixes of two classes (sound networks). [no]")
    ] = None,
    strong_augment: Annotated[
        bool | None, typer.Option(help="Random speed and loudness (sound networks). [no]")
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(
            help="Flips and shifts that a picture's features are averaged over, to 10. [1]"
        ),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, float32 or bfloat16. [auto]")
    ] = None,
    val_fraction: Annotated[
        float | None, typer.Option(help="Part of the training instances to select on. [recipe]")
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(
            metavar="FRACTION", help="Part of a split that supervises RR-Net alone. [none]"
        ),
    ] = None,
    holdout_of: Annotated[
        str | None, typer.Option(metavar="fit|select", help="The split that it is a part of. [fit]")
    ] = None,
    cross_fit: Annotated[
        int | None,
        typer.Option(
            metavar="F", help="Out-of-fold prior of the fit split, by F more baselines. [none]"
        ),
    ] = None,
    split_seed: Annotated[int | None, typer.Option(help="Seed of the random split. [0]")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, batches, crops. [0]")] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most so many instances a class and split. [no limit]")
    ] = None,
    word_vectors: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|NAME",
            help="word2vec or GloVe file, gensim-data name, or glove-6b-50d. [glove-6b-50d]",
        ),
    ] = None,
    oov: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="Unknown label word: error, zeros, skip-word. [error]"),
    ] = None,
    on_error: Annotated[
        str, typer.Option(metavar="fail|skip", help="Unreadable files: stop, or list them.")
    ] = "fail",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FEATURES", help="Take the network of these features instead of training one."
        ),
    ] = None,
    fit_only: Annotated[
        bool, typer.Option("--fit-only", help="Train the network that --shard needs, and stop.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="The I-th of N shares of the instances; `rrnet merge` joins them."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on from the checkpoint of an interrupted run.")
    ] = True,
    force: Annotated[bool, typer.Option(help="Extract again even where it is cached.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    name: Annotated[
        str | None, typer.Option(help="Name of the artifact. [<dataset>-<backbone>]")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting, as baseline.lr=0.1."),
    ] = None,
) -> None:
    """Turn raw data into features and initial probabilities of both modalities."""
    from rrnet_cli.cli.parameters import resolve

    flags: dict[str, object | None] = {
        "baseline.backbone": backbone,
        "baseline.stem": stem,
        "baseline.epochs": epochs,
        "baseline.batch_size": batch_size,
        "baseline.lr": lr,
        "baseline.schedule": schedule,
        "baseline.between_class": between_class,
        "baseline.strong_augment": strong_augment,
        "baseline.views": views,
        "baseline.precision": precision,
        "data.fold": None if fold == "all" else fold,
        "data.val_fraction": val_fraction,
        "data.holdout": holdout,
        "data.holdout_of": holdout_of,
        "data.split_seed": split_seed,
        "data.limit": limit,
        "text.vectors": word_vectors,
        "text.oov": oov,
        "cross_fit": cross_fit,
        "seed": seed,
    }
    base = _base(dataset, data)
    settings = resolve(
        ExtractSettings, base, config=config, sets=sets or (), flags=flags, section="extract"
    )
    _run(
        ctx.obj,
        settings,
        all_folds=fold == "all",
        seeded=split_seed is not None,
        recipe=dataset if dataset in recipe_names() else None,
        data=_data_path(dataset, data),
        name=name,
        stage=_stage(fit_only, shard, weights, _policy(on_error), resume=resume),
        force=force,
        device=device,
    )


def _run(
    session: Session,
    settings: ExtractSettings,
    *,
    all_folds: bool,
    seeded: bool,
    recipe: str | None,
    data: Path | None,
    name: str | None,
    stage: Callable[..., Outcome],
    **options: Any,
) -> None:
    """Extract one artifact, or one a fold, and say what came of it."""
    from rrnet_cli.cli.described import describe
    from rrnet_cli.stages._backbones import check_backbone
    from rrnet_cli.stages.extract import dataset_name, default_name, folds

    store = session.store()
    check_backbone(settings)
    dataset = dataset_name(settings, data, recipe)
    outcomes = []
    for fold in folds(settings, data) if all_folds else (settings.data.fold,):
        chosen = settings.model_copy(
            update={"data": settings.data.model_copy(update={"fold": fold})}
        )
        named = name or default_name(chosen, dataset, seeded=seeded)
        if name and all_folds:
            named = f"{name}-fold{fold}"
        outcome = stage(
            chosen,
            store=store,
            data=data,
            name=named,
            recipe=recipe,
            reporter=session.reporter,
            **options,
        )
        session.reporter.note(describe(outcome))
        outcomes.append(outcome)
    documents = [
        {
            "artifact": str(o.artifact.ref),
            "cached": o.cached,
            "summary": o.artifact.manifest.summary,
        }
        for o in outcomes
    ]
    session.emit(
        {"artifacts": documents} if all_folds else documents[0],
        "\n".join(str(outcome.artifact.ref) for outcome in outcomes),
    )


def _stage(
    fit_only: bool,
    shard: str | None,
    weights: str | None,
    on_error: Literal["fail", "skip"],
    *,
    resume: bool,
) -> Callable[..., Outcome]:
    """The stage that the flags ask for, with those that are its own."""
    from rrnet_cli.datasets.share import parse_share
    from rrnet_cli.stages import extract, shards

    if shard is None and not fit_only:
        return partial(extract.extract, weights=weights, on_error=on_error, resume=resume)
    if shard is not None and fit_only:
        raise ConfigError("--fit-only and --shard exclude each other", "fit first, then shards")
    if on_error == "skip":
        raise ConfigError(
            "a shard cannot leave out files that others would count", "leave out --on-error skip"
        )
    if shard is not None:
        return partial(shards.extract_shard, shard=parse_share(shard), weights=weights)
    if weights is not None:
        raise ConfigError("--fit-only: --weights names a fitted network", "begin with --shard")
    return partial(shards.fit, resume=resume)


def _base(dataset: str, data: Path | None) -> ExtractSettings | Mapping[str, object]:
    """The recipe's section, or layout and backbone of the user's own data."""
    if dataset in recipe_names():
        return load_recipe(dataset).extract
    if dataset == "manifest":
        from rrnet_cli.stages.extract import manifest_modality

        dataset = f"{manifest_modality(data)}-manifest"
    if dataset not in LAYOUTS:
        import difflib

        known = (*recipe_names(), *LAYOUTS, "manifest")
        near = difflib.get_close_matches(dataset, known, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"there is no data set {dataset!r}", f"{guess}known: {', '.join(known)}")
    layout, backbone = LAYOUTS[dataset]
    return {"data": {"layout": layout}, "baseline": {"backbone": backbone}}


def _data_path(dataset: str, data: Path | None) -> Path | None:
    """`--data`, else the recipe's folder below `RRNET_DATA`; nothing else is guessed."""
    if data is not None or dataset not in (*FOLDERS, *LAYOUTS, "manifest"):
        return data
    root = os.environ.get("RRNET_DATA")
    if root and dataset in FOLDERS:
        return Path(root) / FOLDERS[dataset]
    hint = "pass --data PATH"
    if dataset in FOLDERS:
        hint += f", or set RRNET_DATA to the folder that holds {FOLDERS[dataset]}"
    raise ConfigError(f"{dataset} needs the path of its data", hint)


def _policy(on_error: str) -> Literal["fail", "skip"]:
    if on_error == "fail":
        return "fail"
    if on_error == "skip":
        return "skip"
    raise ConfigError(f"--on-error {on_error} is no rule for unreadable files", "use fail or skip")
