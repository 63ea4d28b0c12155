"""Baselines that are networks trained from scratch, on sounds or on pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from rrnet_cli.datasets.base import AudioSet, ImageSet
from rrnet_cli.features.batches import ClipInputs, ImageInputs, Inputs
from rrnet_cli.features.classifier import TrainedClassifier, build_baseline, train_classifier
from rrnet_cli.features.inference import Applied, apply
from rrnet_cli.features.network import BaselineNet
from rrnet_cli.features.precision import choose_device
from rrnet_cli.features.sound import SOUND_NETS
from rrnet_cli.settings import BaselineSettings, ExtractSettings
from rrnet_cli.stages._baseline import Baseline, TrainedNetwork, Training

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def network_baseline(
    instances: AudioSet | ImageSet, settings: ExtractSettings, training: Training
) -> Baseline:
    """Train the network on the fitted instances, or take a given one, and run it over all."""
    inputs = _inputs(instances, settings.baseline)
    trainer = _Trainer(instances, inputs, settings, training)
    if training.given is None:
        model, network = trainer.fit()
    else:
        network = training.given
        model = build_baseline(settings.baseline, len(instances.class_names), settings.seed)
        model.load_state_dict(network.weights)
        # As a network that was just trained: on its device, in the same order in memory.
        target = choose_device(training.device)
        model = model.to(device=target, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # The prior of a picture is the answer to the picture itself: what averaged views add is told by
    # its features, and to the peer `views`.
    plain = isinstance(instances, ImageSet)

    def prior(applied: Applied) -> NDArray[np.float32]:
        return applied.first if plain else applied.logits

    applied = apply(model, inputs, reporter=training.reporter)
    # Which precision is faster is measured once: all priors are to be of one kind.
    alike = settings.baseline.model_copy(update={"precision": network.precision})

    def refit(part: int, roles: NDArray[np.int8], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        other = trainer.train(roles, training.workspace / f"part{part}", alike).model
        return prior(apply(other, inputs, rows=rows, reporter=training.reporter))

    return Baseline(
        features=applied.features,
        logits=prior(applied),
        joined=applied.logits if plain and inputs.views > 1 else None,
        refit=refit,
        weights=network.weights,
        history=network.history,
        facts=network.facts,
    )


def fit_network(
    instances: AudioSet | ImageSet, settings: ExtractSettings, training: Training
) -> TrainedNetwork:
    """Train the network on the fitted instances, and no more."""
    inputs = _inputs(instances, settings.baseline)
    return _Trainer(instances, inputs, settings, training).fit()[1]


@dataclass(frozen=True)
class _Trainer:
    """Trains networks of one kind on some of the instances."""

    instances: AudioSet | ImageSet
    inputs: Inputs
    settings: ExtractSettings
    training: Training

    def fit(self) -> tuple[BaselineNet, TrainedNetwork]:
        """The one network that the settings ask for."""
        workspace, baseline = self.training.workspace, self.settings.baseline
        trained = self.train(self.instances.roles, workspace, baseline)
        curve = _curve(trained.history)
        return trained.model, TrainedNetwork(trained.weights, curve, trained.precision)

    def train(
        self, roles: NDArray[np.int8], workspace: Path, baseline: BaselineSettings
    ) -> TrainedClassifier:
        """One network on the instances that are FIT in `roles`."""
        return train_classifier(
            build_baseline(baseline, len(self.instances.class_names), self.settings.seed),
            self.inputs,
            self.instances.labels,
            roles,
            baseline,
            self.settings.seed,
            workspace=workspace,
            resume=self.training.resume,
            reporter=self.training.reporter,
            device=self.training.device,
        )


def _inputs(instances: AudioSet | ImageSet, settings: BaselineSettings) -> Inputs:
    if isinstance(instances, AudioSet):
        return ClipInputs(
            instances.clips,
            SOUND_NETS[settings.backbone].crop,
            settings.test_crops,
            strong=settings.strong_augment,
        )
    return ImageInputs(instances.images, settings.augment, settings.views)


def _curve(history: Sequence[Mapping[str, float | None]]) -> pa.Table:
    """One row an epoch; NaN where there are no instances to select on."""
    columns = {name: [row[name] for row in history] for name in history[0]}
    epochs = pa.array([int(epoch or 0) for epoch in columns.pop("epoch")], pa.int64())
    curves = {
        name: pa.array([float("nan") if value is None else value for value in column], pa.float64())
        for name, column in columns.items()
    }
    return pa.table({"epoch": epochs, **curves})
