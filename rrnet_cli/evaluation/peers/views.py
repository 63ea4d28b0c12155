"""The control of averaged views: the baseline's own answers, averaged over them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation.peers.base import ClassData, Peer
from rrnet_cli.evaluation.peers.class_rows import FloatArray
from rrnet_cli.evaluation.scores import softmax
from rrnet_cli.progress import Reporter


def fit(data: ClassData, params: Mapping[str, float], seed: int, reporter: Reporter) -> FloatArray:
    """Mean softmax of the views (the paper has no equation); no relation, no label is read.

    Raises:
        ConfigError: The features are those of one view.
    """
    if data.log_views is None:
        raise ConfigError("the peer views needs several views", "extract with --views 10")
    return softmax(data.log_views.astype(np.float64))


PEER = Peer(
    name="views",
    task="classification",
    reference="Krizhevsky, Sutskever & Hinton 2012, Sec. 4.1: mean prediction of crops and flips",
    grid={},
    fit=fit,
    several_views=True,
)
