"""M18 against Table 1 of its paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rrnet_cli.features.m18 import M18


@pytest.fixture(scope="module")
def network() -> M18:
    torch.manual_seed(0)
    return M18(num_classes=10).eval()


def test_number_of_parameters(network: M18) -> None:
    """3.7 M, as Table 1 says."""
    # Stages of four convolutions of width 3, the first of which changes the number of channels.
    stages = sum(3 * (i + 3 * o) * o for i, o in ((64, 64), (64, 128), (128, 256), (256, 512)))
    norms = 2 * (64 + 4 * (64 + 128 + 256 + 512))
    assert sum(p.numel() for p in network.parameters()) == 80 * 64 + stages + norms + 513 * 10
    assert 80 * 64 + stages + norms + 513 * 10 == 3_679_882


def test_eighteen_layers_with_weights(network: M18) -> None:
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 18
    assert not [m for m in network.modules() if isinstance(m, nn.Dropout)]


def test_every_shape_on_the_way(network: M18) -> None:
    seen: list[tuple[int, ...]] = []
    hooks = [
        layer.register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
        for layer in network.trunk
    ]
    with torch.inference_mode():
        logits = network(torch.zeros(1, 32_000))
    for hook in hooks:
        hook.remove()
    wanted = [(1, 64, 1, 8000)]
    for channels_in, channels, length in (
        (64, 64, 2000), (64, 128, 500), (128, 256, 125), (256, 512, 32)
    ):  # fmt: skip
        wanted += [(1, channels_in, 1, length), *[(1, channels, 1, length)] * 4]
    assert seen == wanted
    assert logits.shape == (1, 10)


def test_the_representation_is_the_mean_over_time(network: M18) -> None:
    samples = torch.randn(2, 32_000)
    with torch.inference_mode():
        representation = network.represent(samples)
        maps = network.trunk(samples[:, None, None, :])
    torch.testing.assert_close(representation, maps.sum((2, 3)) / 32)
    assert representation.shape == (2, 512)
    assert (representation >= 0).all()


def test_samples_of_16_bits_are_scaled(network: M18) -> None:
    samples = torch.randint(-32_768, 32_768, (1, 32_000)).to(torch.int16)
    with torch.inference_mode():
        torch.testing.assert_close(network(samples), network(samples / 32_768))


def test_another_width_of_the_representation() -> None:
    with torch.inference_mode():
        narrow = M18(num_classes=3, feature_dim=16).eval()
        assert narrow.represent(torch.zeros(1, 32_000)).shape == (1, 16)
