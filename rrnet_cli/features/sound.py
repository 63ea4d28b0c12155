"""The networks that hear raw samples, by the name of their backbone."""

from __future__ import annotations

from rrnet_cli.features.envnet import EnvNet
from rrnet_cli.features.envnet_v2 import EnvNetV2
from rrnet_cli.features.m18 import M18

SOUND_NETS: dict[str, type[EnvNet | EnvNetV2 | M18]] = {
    "envnet": EnvNet,
    "envnet_v2": EnvNetV2,
    "m18": M18,
}
"""Each says its sample rate and the width of its crops."""
