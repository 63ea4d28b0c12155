"""Baselines that are networks trained from scratch, on sounds or on pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from rrnet_cli.datasets.base import AudioSet, ImageSet
from rrnet_cli.features.batches import ClipInputs, ImageInputs, Inputs
from rrnet_cli.features.classifier import build_baseline, train_classifier
from rrnet_cli.features.inference import apply
from rrnet_cli.features.sound import SOUND_NETS
from rrnet_cli.settings import BaselineSettings, ExtractSettings
from rrnet_cli.stages._baseline import Baseline, Training


def network_baseline(
    instances: AudioSet | ImageSet, settings: ExtractSettings, training: Training
) -> Baseline:
    """Train the network on the fitted instances and run it over all."""
    inputs = _inputs(instances, settings.baseline)
    trained = train_classifier(
        build_baseline(settings.baseline, len(instances.class_names), settings.seed),
        inputs,
        instances.labels,
        instances.roles,
        settings.baseline,
        settings.seed,
        workspace=training.workspace,
        resume=training.resume,
        reporter=training.reporter,
        device=training.device,
    )
    features, logits = apply(trained.model, inputs, reporter=training.reporter)
    return Baseline(
        features=features,
        logits=logits,
        weights=trained.weights,
        history=_curve(trained.history),
        facts={"precision": trained.precision, "epochs": len(trained.history)},
    )


def _inputs(instances: AudioSet | ImageSet, settings: BaselineSettings) -> Inputs:
    if isinstance(instances, AudioSet):
        return ClipInputs(
            instances.clips,
            SOUND_NETS[settings.backbone].crop,
            settings.test_crops,
            strong=settings.strong_augment,
        )
    return ImageInputs(instances.images, settings.augment)


def _curve(history: Sequence[Mapping[str, float | None]]) -> pa.Table:
    """One row an epoch; NaN where there are no instances to select on."""
    columns = {name: [row[name] for row in history] for name in history[0]}
    epochs = pa.array([int(epoch or 0) for epoch in columns.pop("epoch")], pa.int64())
    curves = {
        name: pa.array([float("nan") if value is None else value for value in column], pa.float64())
        for name, column in columns.items()
    }
    return pa.table({"epoch": epochs, **curves})
