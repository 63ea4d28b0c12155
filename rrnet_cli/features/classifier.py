"""Training of a baseline network on the fitted instances (paper Sec. IV).

Every epoch draws its order, crops and dropout from generators of its own, seeded by (seed, epoch):
a run that resumes at an epoch sees exactly the numbers that an uninterrupted one would.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrnet_cli.datasets.base import FIT, SELECT
from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.features.batches import ImageInputs, Inputs, chunks, split_batches
from rrnet_cli.features.between_class import loss_of, right_answers, training_draw
from rrnet_cli.features.network import BaselineNet
from rrnet_cli.features.precision import Precision, autocast, choose_device, choose_precision
from rrnet_cli.features.schedule import learning_rate
from rrnet_cli.features.sound import SOUND_NETS
from rrnet_cli.features.vision import VisionNet, build_vision
from rrnet_cli.progress import Reporter, SilentReporter
from rrnet_cli.training import checkpoints

if TYPE_CHECKING:
    from rrnet_cli.settings import BaselineSettings

_MODEL = "model/"
Row = dict[str, float | None]


@dataclass(frozen=True)
class TrainedClassifier:
    """A baseline after its last epoch (the paper selects no epoch).

    Attributes:
        model: In evaluation mode, on the device that it was trained on.
        history: One row an epoch: ``epoch`` (from 1), ``loss`` and ``fit_top1`` (means over the
            epoch's random views, in training mode), ``select_top1`` (one central view; None without
            SELECT instances), ``lr`` at the epoch's end.
        precision: ``float32`` or ``bfloat16``, as it came about.
    """

    model: BaselineNet
    history: tuple[Row, ...]
    precision: str

    @property
    def weights(self) -> dict[str, Tensor]:
        """Weights and normalisation by name, on the CPU."""
        return {name: value.detach().cpu() for name, value in self.model.state_dict().items()}

    @property
    def fit_top1(self) -> float | None:
        """Accuracy on FIT in the last epoch, in training mode."""
        return self.history[-1]["fit_top1"]

    @property
    def select_top1(self) -> float | None:
        """Accuracy on SELECT after the last epoch, on one central view."""
        return self.history[-1]["select_top1"]


def build_baseline(settings: BaselineSettings, num_classes: int, seed: int) -> BaselineNet:
    """The untrained network of `settings.backbone`, the same for the same seed.

    Raises:
        ConfigError: The backbone is no network.
    """
    with _seeded(seed, 0):
        if settings.backbone in SOUND_NETS:
            return SOUND_NETS[settings.backbone](num_classes, settings.feature_dim)
        return build_vision(settings.backbone, settings.stem, num_classes, settings.feature_dim)


def train_classifier(
    model: BaselineNet,
    inputs: Inputs,
    labels: NDArray[np.int64],
    roles: NDArray[np.int8],
    settings: BaselineSettings,
    seed: int,
    *,
    workspace: Path | None = None,
    resume: bool = True,
    reporter: Reporter | None = None,
    device: str = "auto",
) -> TrainedClassifier:
    """Train on FIT by SGD; SELECT is only looked at, TEST is not touched.

    Args:
        model: Fresh from `build_baseline`; trained in place.
        inputs: All instances.
        labels: (num_instances,) int64.
        roles: (num_instances,) int8 of FIT, SELECT, TEST.
        settings: Epochs, batches, rates.
        seed: Of order, crops, flips and dropout.
        workspace: Folder for a checkpoint each epoch, or None for none.
        resume: Go on from the newest checkpoint; the weights end the same to the bit.
        reporter: Progress in instances.
        device: ``auto``, ``cpu`` or ``cuda``.

    Returns:
        The network after the last epoch.

    Raises:
        InputError: Fewer than two FIT instances.
        ConfigError: The loss became NaN or infinite, or the checkpoint is of another run.
    """
    reporter = reporter or SilentReporter()
    target = choose_device(device)
    run = TrainingRun(model, inputs, labels, roles, settings, seed, target)
    if workspace is not None:
        run.restore(workspace, resume)
    total, done = settings.epochs * len(run.fit), run.epochs * len(run.fit)
    what = f"training {settings.backbone}"
    with reporter.task(what, total, unit=inputs.unit, done=done) as task:
        while run.epochs < settings.epochs:
            for size, loss in run.train_epoch():
                accuracy = run.history[-1]["select_top1"] if run.history else None
                task.advance(
                    size,
                    f"epoch {run.epochs + 1}/{settings.epochs} loss {loss:.3f}"
                    + ("" if accuracy is None else f" select {accuracy:.1%}"),
                )
            run.finish_epoch()
            if workspace is not None:
                run.checkpoint(workspace)
    return TrainedClassifier(model.eval(), tuple(run.history), run.precision)


class TrainingRun:
    """One training: what changes from step to step, and what a checkpoint holds.

    `train_classifier` drives it; benchmarks do so step by step.
    """

    def __init__(
        self,
        model: BaselineNet,
        inputs: Inputs,
        labels: NDArray[np.int64],
        roles: NDArray[np.int8],
        settings: BaselineSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.fit = np.flatnonzero(roles == FIT)
        self.select = np.flatnonzero(roles == SELECT)
        if len(self.fit) < 2:
            raise InputError(
                f"There are {len(self.fit)} instances to fit on; a network needs two or more.",
                "Check the splits of the data and --limit.",
            )
        # Channels-last convolutions are faster on a CPU, for pictures and for samples.
        self.model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if isinstance(model, VisionNet) and isinstance(inputs, ImageInputs):
            model.set_normalisation(*inputs.channel_statistics(self.fit))
        self.inputs, self.labels, self.seed = inputs, torch.from_numpy(labels.copy()), seed
        self.draw = training_draw(model, inputs, labels, self.fit, settings)
        self.settings, self.device = settings, device
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            # EnvNet's recipe; torchvision networks take the paper's plain momentum.
            nesterov=settings.backbone in SOUND_NETS and settings.momentum > 0,
        )
        self.epochs = 0
        self.history: list[Row] = []

    @cached_property
    def precision(self) -> Precision:
        """As the settings say; for ``auto`` that of the checkpoint, else what is faster here."""

        def batch() -> Tensor:
            index = self.fit[: self.settings.batch_size]
            return self.inputs.train_batch(index, np.random.default_rng(0)).to(self.device)

        steps = self.settings.epochs * len(self.fit) // self.settings.batch_size
        return choose_precision(self.settings.precision, self.model, batch, steps)

    def train_epoch(self) -> Iterator[tuple[int, float]]:
        """Train one epoch; yields size and loss after each step, and adds a row at the end."""
        self.model.train()
        rng = np.random.default_rng((self.seed, self.epochs))
        batches = list(split_batches(rng.permutation(self.fit), self.settings.batch_size))
        loss_sum, hits, rate = 0.0, 0, 0.0
        with _seeded(self.seed, self.epochs + 1):
            for number, index in enumerate(batches):
                rate = learning_rate(self.settings, self.epochs, number / len(batches))
                batch, target = self.draw(index, rng)
                loss, right = self._step(batch.to(self.device), target.to(self.device), rate)
                loss_sum, hits = loss_sum + loss * len(index), hits + right
                yield len(index), loss
        self.epochs += 1
        row: Row = {"epoch": self.epochs, "loss": loss_sum / len(self.fit)}
        self.history.append(
            row | {"fit_top1": hits / len(self.fit), "select_top1": None, "lr": rate}
        )

    def _step(self, batch: Tensor, target: Tensor, rate: float) -> tuple[float, int]:
        """Forward, backward, update; returns the loss and the number of right answers."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            logits = self.model(batch)
        loss = loss_of(logits.float(), target)
        value = loss.item()
        if not math.isfinite(value):
            raise ConfigError(
                f"The training loss became {value} in epoch {self.epochs + 1}.",
                f"Lower --lr (now {self.settings.lr:g}); the checkpoint of epoch {self.epochs} "
                "is kept." if self.epochs else f"Lower --lr (now {self.settings.lr:g}).",
            )  # fmt: skip
        loss.backward()
        self.optimizer.step()
        return value, right_answers(logits, target)

    def finish_epoch(self) -> None:
        """Look at SELECT: one central view an instance, in the precision of the training."""
        if len(self.select) == 0:
            return
        self.model.eval()
        right = 0
        with torch.inference_mode(), autocast(self.device, self.precision):
            for index in chunks(self.select, self.settings.batch_size):
                logits = self.model(self.inputs.test_batch(index, views=1).to(self.device))
                right += int((logits.argmax(1).cpu() == self.labels[index]).sum())
        self.history[-1]["select_top1"] = right / len(self.select)

    def checkpoint(self, workspace: Path) -> None:
        """Write everything the next epoch depends on."""
        tensors, optimizer = checkpoints.pack_optimizer(self.optimizer)
        tensors |= {_MODEL + name: value for name, value in self.model.state_dict().items()}
        meta = {"optimizer": optimizer, "epochs": self.epochs, "history": self.history}
        checkpoints.save(workspace, tensors, meta | {"run": self._identity()})

    def restore(self, workspace: Path, resume: bool) -> None:
        """Go on from the newest checkpoint, or drop what there is."""
        restored = checkpoints.load(workspace) if resume else None
        if restored is None:
            checkpoints.clear(workspace)
            return
        tensors, meta = restored
        if self.settings.precision == "auto":
            self.precision = meta["run"]["precision"]
        _require_same_run(meta["run"], self._identity())
        self.model.load_state_dict(
            {k.removeprefix(_MODEL): v for k, v in tensors.items() if k.startswith(_MODEL)}
        )
        checkpoints.unpack_optimizer(self.optimizer, tensors, meta["optimizer"])
        self.epochs, self.history = meta["epochs"], meta["history"]

    def _identity(self) -> dict[str, Any]:
        """What must not change between an interrupted run and its resumption."""
        identity = self.settings.model_dump(mode="json") | {"seed": self.seed}
        identity["precision"] = self.precision
        return identity | {"instances": len(self.inputs), "fitted": len(self.fit)}


def _require_same_run(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that another run wrote: the result would be neither's."""
    changed = [
        f"{key} was {theirs.get(key)!r}, is {ours.get(key)!r}"
        for key in sorted({*theirs, *ours})
        if theirs.get(key) != ours.get(key)
    ]
    if changed:
        raise ConfigError(
            f"The checkpoint is of another run: {'; '.join(changed)}.",
            "Start over with --no-resume, or go back to the settings of that run.",
        )


@contextmanager
def _seeded(seed: int, number: int) -> Iterator[None]:
    """Give torch's global generators a seed of (seed, number), and their old state afterwards."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        state = np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0]
        # torch takes signed 64-bit seeds.
        torch.manual_seed(int(state >> np.uint64(1)))
        yield
