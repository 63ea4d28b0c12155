"""A network that was trained for other features of the same data, to be used again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rrnet_cli.errors import ConfigError
from rrnet_cli.settings import PICTURE_NETWORKS, SOUND_NETWORKS, ExtractSettings
from rrnet_cli.stages._baseline import TrainedNetwork

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact, Key

FREE = ("views", "test_crops")
"""Settings of baselines that no training depends on."""


def check(trained: Artifact, key: Key, settings: ExtractSettings) -> None:
    """Refuse a network that training on these data with these settings would not give.

    Args:
        trained: Features whose network is to be used.
        key: Of the features that are to be made.
        settings: Of those.

    Raises:
        ConfigError: Says what differs.
    """
    if settings.baseline.backbone not in (*SOUND_NETWORKS, *PICTURE_NETWORKS):
        raise ConfigError(
            f"--weights: {settings.baseline.backbone} is no network", "leave --weights out"
        )
    if settings.cross_fit is not None:
        raise ConfigError("--weights and --cross-fit exclude each other", "leave one of them out")

    ours, theirs = (_what_fits(params) for params in (key.params, trained.manifest.params))
    unlike = [section for section in ours if ours[section] != theirs[section]]
    if trained.manifest.data != key.data:
        unlike.append("raw data")
    if unlike:
        raise ConfigError(
            f"--weights {trained.ref}: that network was trained otherwise ({', '.join(unlike)})",
            "give the same data and settings, or leave --weights out to train anew",
        )


def what_trains(params: Mapping[str, Any]) -> dict[str, Any]:
    """Of the parameters of features, those that the training of their network depends on."""
    baseline = {k: v for k, v in params["baseline"].items() if k not in FREE}
    return {"baseline": baseline, "data": params["data"], "seed": params["seed"]}


def _what_fits(params: Mapping[str, Any]) -> dict[str, Any]:
    """Of those, all that the weights depend on: what is held out of SELECT was never fitted."""
    found = what_trains(params)
    data = found["data"]
    if data.get("holdout_of") == "select":
        data = {k: v for k, v in data.items() if k not in ("holdout", "holdout_of")}
    return {**found, "data": data}


def given(trained: Artifact) -> TrainedNetwork:
    """The network of some features, or of a baseline artifact, as `network_baseline` takes it."""
    facts: Any = trained.manifest.summary["baseline"]
    return TrainedNetwork(
        weights=trained.tensors("baseline.safetensors"),
        history=trained.table("history.parquet"),
        precision=facts["precision"],
    )
