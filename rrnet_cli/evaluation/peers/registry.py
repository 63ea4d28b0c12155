"""The peers by name; a peer's module is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from rrnet_cli.errors import ConfigError
from rrnet_cli.evaluation.peers.base import Peer, Task

_HERE = "rrnet_cli.evaluation.peers"

PEERS: dict[Task, dict[str, str]] = {
    "rating": {
        "bias": "bias:PEER",
        "mf": "mf:PEER",
        "svd": "surprise_svd:SVD",
        "svdpp": "surprise_svd:SVDPP",
        "soreg": "soreg:PEER",
        "socialmf": "socialmf:PEER",
        "trustmf": "trustmf:PEER",
        "trustsvd": "trustsvd:PEER",
        "lightgcn": "lightgcn:PEER",
    },
    "classification": {
        "temperature": "temperature:PEER",
        "views": "views:PEER",
        "logreg": "logreg:PEER",
        "logreg-prior": "logreg:PEER_PRIOR",
        "knn": "knn:PEER",
        "tip-adapter": "tip_adapter:PEER",
        "label-spreading": "label_spreading:PEER",
        "label-propagation": "label_propagation:PEER",
        "correct-and-smooth": "correct_and_smooth:PEER",
        "appnp": "appnp:PEER",
        "gat": "gat:PEER",
    },
}
"""Task to name to ``module:attribute``, in the order in which they are run and shown."""


def peers(task: Task, only: Sequence[str] = ()) -> list[Peer]:
    """The peers of a task.

    Args:
        task: What they must be able to do.
        only: Names; empty for all.

    Raises:
        ConfigError: An unknown name; names the nearest.
    """
    known = PEERS[task]
    for name in only:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            guess = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(
                f"there is no {task} peer {name!r}", f"{guess}known: {', '.join(known)}"
            )
    return [_load(known[name]) for name in known if not only or name in only]


def _load(target: str) -> Peer:
    module, _, attribute = target.partition(":")
    peer: Peer = getattr(import_module(f"{_HERE}.{module}"), attribute)
    return peer
