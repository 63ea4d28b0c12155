"""Training of RR-Net with selection on validation and exact resumption."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rrnet_cli.errors import DivergedError
from rrnet_cli.progress import Reporter
from rrnet_cli.training import checkpoints
from rrnet_cli.training.draws import Draw, Draws
from rrnet_cli.training.network import Learner, Network
from rrnet_cli.training.objectives import (
    num_supervised,
    probabilities,
    select_metrics,
    training_loss,
)
from rrnet_cli.training.problem import Problem
from rrnet_cli.training.processes import ALONE, Group
from rrnet_cli.training.sampling import Batch, batches
from rrnet_cli.training.selection import merit

if TYPE_CHECKING:
    from rrnet_cli.settings import TrainSettings

_MODEL, BEST = "model/", "best/"


@dataclass
class Progress:
    """What a run has seen so far; all of it is in every checkpoint.

    Attributes:
        epochs: Epochs done.
        history: One row for the untrained network (epoch 0) and one for each epoch: `epoch`,
            `loss` (before the step, the mean of all steps; None in row 0), and the select metrics
            after it.
        best: Weights of the best epoch.
    """

    epochs: int = 0
    history: list[dict[str, float | None]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_row(self) -> dict[str, float | None]:
        """History of the best epoch: the earliest of the highest merit; the last without select."""
        scored = [row for row in self.history if _metrics(row)]
        return max(scored, key=lambda row: merit(_metrics(row))) if scored else self.history[-1]

    def record(self, row: dict[str, float | None], network: Network) -> None:
        """Add a row, and keep the weights when it is the best."""
        self.history.append(row)
        if self.best_row is row:
            self.best = {name: value.clone() for name, value in network.state_dict().items()}

    def is_exhausted(self, settings: TrainSettings) -> bool:
        """Whether the epochs, or the patience for a better one, are used up."""
        if self.epochs >= settings.epochs:
            return True
        waited = self.epochs - int(self.best_row["epoch"] or 0)
        return settings.patience is not None and waited >= settings.patience


def fit(
    problem: Problem,
    settings: TrainSettings,
    *,
    workspace: Path | None,
    resume: bool,
    reporter: Reporter,
    engine: str = "auto",
    group: Group = ALONE,
) -> tuple[Network, Progress]:
    """Train on the fitted edges; keep the epoch that is best on the select ones.

    One epoch is one step on the full graph or, with a batch size, one on the surroundings of each
    batch of supervising instances. Epoch 0, the untrained network, may be the best one:
    under `plus` it is the baseline itself.

    Args:
        problem: The graph and its targets; test targets are not in it.
        settings: Of the stage.
        workspace: Folder for a checkpoint each epoch, or None for none.
        resume: Go on from the newest checkpoint; the result is the same to the bit.
        reporter: Progress.
        engine: One of `engines.NAMES`; it changes no result beyond rounding.
        group: Who else trains; all get the same settings, with a batch size where there are others.
            Checkpoints are the leader's, and any number of processes goes on from them.

    Returns:
        The network with the best weights, in evaluation mode, and the run's history.

    Raises:
        DivergedError: The loss became NaN or infinite; the last good checkpoint stays.
        ProcessLostError: Another process of the group ended; likewise.
    """
    workspace = workspace if group.leads else None
    torch.manual_seed(settings.seed)
    network = Network(problem, settings, engine)
    optimizer = make_optimizer(network, settings)
    progress, draws = Progress(), Draws(problem, settings)
    # Where a step shows what is shown at rest, as under `paper`, one forward pass serves both.
    serves_both = settings.batch_size is None and draws.at_rest and not network.is_large(problem)

    def rest() -> tuple[dict[str, float], Tensor | None]:
        logits = network.logits_at_rest(problem) if serves_both else network.predict(problem)
        return metrics_of(logits.detach(), network, problem), logits if serves_both else None

    ahead: Tensor | None = None
    if not _resumed(workspace if resume else None, network, optimizer, progress, group):
        if workspace is not None:
            checkpoints.clear(workspace)
        network.load_state_dict(group.share(network.state_dict()))
        metrics, ahead = group.lead(rest)
        progress.record({"epoch": 0, "loss": None, **metrics}, network)
    with reporter.task(
        "training RR-Net", settings.epochs, unit="epoch", done=progress.epochs
    ) as task:
        while not progress.is_exhausted(settings):
            epoch = progress.epochs + 1
            whole = _whole(network, problem, draws.of(epoch))
            losses = [
                step(network, batch, optimizer, epoch, group, ahead)
                for batch in _batches(whole, problem.owner, settings, group)
            ]
            del whole, ahead  # the select metrics have inputs of their own
            loss = sum(losses) / len(losses)
            progress.epochs += 1
            metrics, ahead = group.lead(rest)
            for name, value in metrics.items():
                require_finite(name, value, progress.epochs, settings)
            progress.record({"epoch": progress.epochs, "loss": loss, **metrics}, network)
            if workspace is not None:
                checkpoint(workspace, network, optimizer, progress)
            task.advance(1, " ".join(f"{k} {v:.4g}" for k, v in {"loss": loss, **metrics}.items()))
    network.load_state_dict(progress.best)
    return network.eval(), progress


def make_optimizer(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Momentum SGD (the paper) or AdamW over all parameters."""
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
    return torch.optim.AdamW(
        network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )


def step(
    network: Learner,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    group: Group = ALONE,
    ahead: Tensor | None = None,
) -> float:
    """Forward, backward and update; returns the loss over the batch of the whole group.

    `ahead` has the logits of the batch, with their gradient, where the forward pass is done.

    Raises:
        DivergedError: The loss is not finite; the weights are left as they were.
        ProcessLostError: Another process of the group ended.
    """
    optimizer.zero_grad(set_to_none=True)
    value = gradients(network, batch, group, ahead)
    settings = network.settings
    require_finite("training loss", value, epoch, settings)
    if settings.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
    optimizer.step()
    return value


def gradients(
    network: Learner, batch: Batch, group: Group = ALONE, ahead: Tensor | None = None
) -> float:
    """Forward and backward of this process's share; loss and gradients become those of the batch.

    Raises:
        ProcessLostError: Another process of the group ended.
    """
    settings, value = network.settings, 0.0
    network.train()
    if group.size == 1 or batch.supervised.any():  # a share may be empty, a batch is not
        logits = network.rrnet(batch.inputs) if ahead is None else ahead
        loss = training_loss(batch, logits, settings.objective, settings.reduction)
        loss.backward()
        value = float(loss)
    is_mean = settings.objective == "softmax" or settings.reduction == "mean"
    terms = num_supervised(batch, settings.objective) if is_mean else None
    return group.combine(network, value, terms)


def _whole(network: Network, problem: Problem, drawn: Draw) -> Batch:
    """The full graph as an epoch shows it."""
    inputs = network.inputs(problem, drawn.known, drawn.prior)
    return Batch(inputs, problem.target, drawn.supervised, problem.candidates)


def _batches(whole: Batch, owner: Tensor, settings: TrainSettings, group: Group) -> Iterable[Batch]:
    """The steps of one epoch, this process's share of each."""
    if settings.batch_size is None:
        return [whole]
    return batches(whole, owner, settings.batch_size, settings.fanout, settings.units, group)


def evaluate(network: Network, problem: Problem) -> dict[str, float]:
    """Select metrics of the network as it is."""
    return metrics_of(network.predict(problem), network, problem)


def metrics_of(logits: Tensor, network: Network, problem: Problem) -> dict[str, float]:
    """Select metrics of logits at rest."""
    return select_metrics(problem, probabilities(problem, logits, network.settings.objective))


def require_finite(what: str, value: float, epoch: int, settings: TrainSettings) -> None:
    """Stop a run that diverged, before the epoch is written as a checkpoint.

    Raises:
        DivergedError: The value is NaN or infinite.
    """
    if not math.isfinite(value):
        raise DivergedError(
            f"The {what} became {value} at epoch {epoch}.",
            f"Lower --lr (now {settings.lr:g}) or --set clip_norm=1; the checkpoint of epoch "
            f"{epoch - 1} is kept.",
        )


def _metrics(row: dict[str, float | None]) -> dict[str, float]:
    return {k: v for k, v in row.items() if k.startswith("select_") and v is not None}


def checkpoint(
    workspace: Path,
    network: Learner,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    more: Mapping[str, Tensor] | None = None,
) -> None:
    """Everything the next epoch depends on; `more` tensors come back by their own names."""
    tensors, optimizer_meta = checkpoints.pack_optimizer(optimizer)
    tensors |= more or {}
    tensors |= {_MODEL + name: value for name, value in network.state_dict().items()}
    tensors |= {BEST + name: value for name, value in progress.best.items()}
    tensors["rng"] = torch.get_rng_state()
    meta = {"optimizer": optimizer_meta, "epochs": progress.epochs, "history": progress.history}
    checkpoints.save(workspace, tensors, meta)


def _resumed(
    workspace: Path | None,
    network: Network,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    group: Group,
) -> bool:
    """Whether there was a checkpoint, where the whole group now stands."""
    found = checkpoints.load(workspace) if workspace is not None else None
    meta = group.lead(lambda: None if found is None else found[1])
    if meta is None:
        return False
    tensors = group.share(None if found is None else found[0])
    restore(tensors, meta, network, optimizer, progress)
    return True


def restore(
    tensors: dict[str, Tensor],
    meta: dict[str, Any],
    network: Learner,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Put everything back as `checkpoint` saw it."""

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    network.load_state_dict(part(_MODEL))
    checkpoints.unpack_optimizer(optimizer, tensors, meta["optimizer"])
    torch.set_rng_state(tensors["rng"])
    progress.epochs = meta["epochs"]
    progress.history = meta["history"]
    progress.best = part(BEST)
