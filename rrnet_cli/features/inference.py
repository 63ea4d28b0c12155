"""What a trained baseline says of every instance: its representation and its logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rrnet_cli.errors import ConfigError
from rrnet_cli.features.batches import Inputs, chunks
from rrnet_cli.features.network import BaselineNet
from rrnet_cli.progress import Reporter, SilentReporter

BATCH_SIZE = 64
"""Views that go through a network at a time; shards are cut between such batches."""


@dataclass(frozen=True)
class Applied:
    """What a network says of n instances.

    Attributes:
        features: (n, feature_dim) float32, mean over the views.
        logits: (n, num_classes) float32, joined over the views.
        first: (n, num_classes) float32, of the first view alone.
    """

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    first: NDArray[np.float32]


def batch_of(views: int, batch_size: int = BATCH_SIZE) -> int:
    """Instances that go through a network at a time, when each has so many views."""
    return max(1, batch_size // views)


def apply(
    model: BaselineNet,
    inputs: Inputs,
    *,
    rows: NDArray[np.int64] | None = None,
    batch_size: int = BATCH_SIZE,
    reporter: Reporter | None = None,
) -> Applied:
    """Representation and logits of instances, in float32 whatever the training's precision.

    An instance with several views (10 crops of a clip) gets the mean of their representations and,
    as logits, the logarithm of their averaged softmax.

    Args:
        model: Trained; put into evaluation mode.
        inputs: All instances.
        rows: (n,) those to apply it to; None for all.
        batch_size: Views that go through the network at a time, at least the views of an instance.
        reporter: Progress in instances.

    Returns:
        Of the rows, in their order.

    Raises:
        ConfigError: The network gives NaN or infinities.
    """
    model.eval()
    device = next(model.parameters()).device
    rows = np.arange(len(inputs)) if rows is None else rows
    features = np.empty((len(rows), model.feature_dim), dtype=np.float32)
    logits, first = np.empty((2, len(rows), model.num_classes), dtype=np.float32)
    step = batch_of(inputs.views, batch_size)
    task_name = "extracting features"
    with (reporter or SilentReporter()).task(task_name, len(rows), unit=inputs.unit) as task:
        for index in chunks(np.arange(len(rows)), step):
            with torch.inference_mode():
                views = model.represent(inputs.test_batch(rows[index]).to(device))
                of_views = model.classify(views)
                scores = average_views(of_views, inputs.views)
                mean = views.unflatten(0, (-1, inputs.views)).mean(1)
            features[index], logits[index] = mean.cpu().numpy(), scores.cpu().numpy()
            first[index] = of_views[:: inputs.views].cpu().numpy()
            task.advance(len(index))
    if not (np.isfinite(features).all() and np.isfinite(logits).all()):
        raise ConfigError("The trained baseline gives NaN or infinite features.", "Lower --lr.")
    return Applied(features, logits, first)


def average_views(logits: Tensor, views: int) -> Tensor:
    """Join the views of an instance: the logarithm of their mean softmax.

    Args:
        logits: (n · views, num_classes), the views of an instance side by side.
        views: Of an instance; a single one keeps its logits.

    Returns:
        (n, num_classes).
    """
    if views == 1:
        return logits
    # log mean exp of log-softmax: no underflow to log 0, unlike the mean of the softmax itself.
    log_probability = functional.log_softmax(logits, dim=1).unflatten(0, (-1, views))
    joined: Tensor = log_probability.logsumexp(1) - math.log(views)
    return joined
