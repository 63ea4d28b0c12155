"""EnvNet-v2 against the numbers of its description."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rrnet_cli.features.envnet_v2 import EnvNetV2

CONVOLUTIONS = (
    # channels in, out, height, width of the kernel
    (1, 32, 1, 64), (32, 64, 1, 16), (1, 32, 8, 8), (32, 32, 8, 8), (32, 64, 1, 4),
    (64, 64, 1, 4), (64, 128, 1, 2), (128, 128, 1, 2), (128, 256, 1, 2), (256, 256, 1, 2),
)  # fmt: skip


@pytest.fixture(scope="module")
def small() -> EnvNetV2:
    """All convolutions as they are, narrow dense layers."""
    torch.manual_seed(0)
    return EnvNetV2(num_classes=5, feature_dim=6, hidden=16).eval()


@pytest.mark.parametrize("feature_dim", [512, 4096])
def test_number_of_parameters(feature_dim: int) -> None:
    convolutions = sum(i * o * h * w for i, o, h, w in CONVOLUTIONS)
    norms = sum(2 * o for _, o, _, _ in CONVOLUTIONS)
    widths = ((20_480, 4096), (4096, feature_dim), (feature_dim, 50))
    dense = sum((width_in + 1) * width_out for width_in, width_out in widths)
    with torch.device("meta"):
        network = EnvNetV2(50, feature_dim)
    assert sum(p.numel() for p in network.parameters()) == convolutions + norms + dense


def test_every_shape_on_the_way(small: EnvNetV2) -> None:
    seen: list[tuple[int, ...]] = []
    layers = [*small.samples, *small.spectrogram, small.dense[0]]
    hooks = [
        layer.register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
        for layer in layers
    ]
    with torch.inference_mode():
        logits = small(torch.zeros(1, 66_650))
    for hook in hooks:
        hook.remove()
    assert seen == [
        (1, 32, 1, 33_294),
        (1, 64, 1, 16_640),
        (1, 64, 1, 260),
        (1, 32, 57, 253),
        (1, 32, 50, 246),
        (1, 32, 10, 82),
        (1, 64, 10, 79),
        (1, 64, 10, 76),
        (1, 64, 10, 38),
        (1, 128, 10, 37),
        (1, 128, 10, 36),
        (1, 128, 10, 18),
        (1, 256, 10, 17),
        (1, 256, 10, 16),
        (1, 256, 10, 8),
        (1, 20_480),
    ]
    assert logits.shape == (1, 5)


def test_every_convolution_is_followed_by_chainers_batch_norm(small: EnvNetV2) -> None:
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)
    layers = [m for m in small.modules() if isinstance(m, kinds)]
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is None
            assert isinstance(layers[i + 1], nn.BatchNorm2d)
            assert layers[i + 1].eps == 2e-5
            assert isinstance(layers[i + 2], nn.ReLU)
    assert sum(isinstance(layer, nn.Conv2d) for layer in layers) == 10


def test_samples_of_16_bits_are_scaled(small: EnvNetV2) -> None:
    samples = torch.randint(-32_768, 32_768, (1, 66_650)).to(torch.int16)
    with torch.inference_mode():
        representation = small.represent(samples)
        torch.testing.assert_close(representation, small.represent(samples / 32_768))
    assert representation.shape == (1, 6)
    assert (representation >= 0).all()
