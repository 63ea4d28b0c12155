"""What the stages are told of the networks of sounds is what these say themselves."""

from __future__ import annotations

import pytest

from rrnet_cli.features.between_class import WINDOWS
from rrnet_cli.features.classifier import build_baseline
from rrnet_cli.features.sound import SOUND_NETS
from rrnet_cli.settings import SOUND_NETWORKS, BaselineSettings
from rrnet_cli.stages._backbones import BACKBONES, SAMPLE_RATES


def test_names() -> None:
    assert tuple(SOUND_NETS) == SOUND_NETWORKS
    assert set(BACKBONES["audio"]) == {*SOUND_NETS, "logmel"}


@pytest.mark.parametrize("name", SOUND_NETS)
def test_rates_and_crops(name: str) -> None:
    network = SOUND_NETS[name]
    assert SAMPLE_RATES[name] == network.sample_rate
    assert network.crop % 2 == 0
    assert network.crop >= WINDOWS[network.sample_rate]


@pytest.mark.parametrize("name", SOUND_NETS)
def test_each_is_built_by_its_name(name: str) -> None:
    network = build_baseline(BaselineSettings(backbone=name, feature_dim=4), 3, 0)
    assert type(network) is SOUND_NETS[name]
    assert (network.feature_dim, network.num_classes) == (4, 3)


@pytest.mark.parametrize("switch", ["between_class", "strong_augment"])
def test_only_sound_networks_are_trained_on_changed_sounds(switch: str) -> None:
    for name in SOUND_NETS:
        BaselineSettings(backbone=name, **{switch: True})
    with pytest.raises(ValueError, match=f"{switch} is for the backbones envnet, envnet_v2, m18"):
        BaselineSettings(backbone="resnet18", **{switch: True})
