"""What a trained model says of the graph that it was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.settings import TrainSettings
from rrnet_cli.stages._problem import load_problem
from rrnet_cli.stages._recorded import settings_of
from rrnet_cli.stages.fitting import WEIGHTS
from rrnet_cli.stages.peers import SCORES, scores_of
from rrnet_cli.stages.train import check_device
from rrnet_cli.training.network import Network
from rrnet_cli.training.objectives import probabilities

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.store import Store


def score(store: Store, model: Artifact, device: str = "auto") -> NDArray[np.float32]:
    """What a trained model, or a peer, says of every inter-edge of the graph it was made for.

    Args:
        store: Where its graph and features are.
        model: A model artifact.
        device: `auto` or `cpu`.

    Returns:
        (num_inter_edges,) in the order of the graph's inter-edge table: the probability P of
        eq. (2), or the predicted rating on the raw scale.

    Raises:
        ArtifactFormatError: The model's settings are of another version of rrnet.
    """
    check_device(device)
    if SCORES in model.manifest.files:
        return scores_of(model)
    settings = settings_of(model, TrainSettings)
    graph = store.resolve("graph", str(model.manifest.inputs["graph"]))
    features = store.resolve("features", str(model.manifest.inputs["features"]))
    problem = load_problem(graph, features, settings)
    network = Network(problem, settings)
    network.load_state_dict(model.tensors(WEIGHTS))
    prob = probabilities(problem, network.predict(problem), settings.objective)
    if problem.scale is not None:
        low, high = problem.scale
        prob = low + prob * (high - low)
    return np.asarray(prob.numpy(), dtype=np.float32)
