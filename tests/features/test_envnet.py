"""EnvNet against the numbers of its description."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from rrnet_cli.features.batches import ClipInputs
from rrnet_cli.features.envnet import CROP, EnvNet
from rrnet_cli.features.inference import apply, average_views


@pytest.fixture(scope="module")
def small() -> EnvNet:
    """All convolutions as they are, narrow dense layers."""
    torch.manual_seed(0)
    return EnvNet(num_classes=5, feature_dim=6, hidden=16).eval()


def test_number_of_parameters() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in EnvNet(10, feature_dim=4096).parameters()) == 48_396_758


def test_every_shape_on_the_way(small: EnvNet) -> None:
    seen: list[tuple[int, ...]] = []
    layers = [*small.samples, *small.spectrogram, small.dense[0]]
    hooks = [
        layer.register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
        for layer in layers
    ]
    with torch.inference_mode():
        logits = small(torch.zeros(1, CROP))
    for hook in hooks:
        hook.remove()
    assert seen == [
        (1, 40, 1, 24_007),
        (1, 40, 1, 24_000),
        (1, 40, 1, 150),
        (1, 50, 33, 138),
        (1, 50, 11, 46),
        (1, 50, 11, 42),
        (1, 50, 11, 14),
        (1, 7_700),
    ]
    assert logits.shape == (1, 5)


def test_channels_become_the_height_of_the_spectrogram(small: EnvNet) -> None:
    seen: list[torch.Tensor] = []
    hooks = [
        small.samples.register_forward_hook(lambda module, args, output: seen.append(output)),
        small.spectrogram.register_forward_hook(lambda module, args, output: seen.append(args[0])),
    ]
    with torch.inference_mode():
        small(torch.randn(1, CROP))
    for hook in hooks:
        hook.remove()
    bands, picture = seen
    assert picture.shape == (1, 1, 40, 150)
    assert torch.equal(picture[0, 0], bands[0, :, 0])


def test_samples_of_16_bits_are_scaled(small: EnvNet) -> None:
    samples = torch.randint(-32_768, 32_768, (2, CROP)).to(torch.int16)
    with torch.inference_mode():
        representation = small.represent(samples)
        torch.testing.assert_close(representation, small.represent(samples / 32_768))
    assert representation.shape == (2, 6)
    assert (representation >= 0).all()


def test_initialisation_is_chainers() -> None:
    torch.manual_seed(0)
    network = EnvNet(10, feature_dim=64, hidden=256)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(layer.bias is None for layer in convolutions)
    # He-normal; the layers with enough weights to tell.
    for layer in convolutions[1:]:
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.1)
    for layer in (m for m in network.modules() if isinstance(m, nn.Linear)):
        assert layer.weight.std().item() == pytest.approx(layer.in_features**-0.5, rel=0.1)
        assert not layer.bias.any()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [(m.eps, m.momentum) for m in norms] == [(2e-5, 0.1)] * 4
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]


def test_views_are_averaged_as_probabilities() -> None:
    logits = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)) * 5
    expected = logits.softmax(1).reshape(3, 4, 4).mean(1).log()
    torch.testing.assert_close(average_views(logits, 4), expected)
    assert average_views(logits, 1) is logits


def test_average_of_impossible_labels_stays_finite() -> None:
    logits = torch.tensor([[0.0, -1e4], [0.0, -2e4]])
    assert average_views(logits, 2).isfinite().all()


def test_ten_crop_testing_is_the_mean_over_crops(small: EnvNet) -> None:
    rng = np.random.default_rng(0)
    clips = [rng.integers(-9_000, 9_000, n).astype(np.int16) for n in (30_000, 500)]
    applied = apply(small, ClipInputs(clips, CROP, views=3), batch_size=2)
    features, logits = applied.features, applied.logits
    assert features.shape == (2, 6)
    assert features.dtype == logits.dtype == np.float32
    for i, clip in enumerate(clips):
        padded = np.pad(clip, CROP // 2)
        step = (len(padded) - CROP) // 2
        crops = torch.from_numpy(np.stack([padded[v * step : v * step + CROP] for v in range(3)]))
        with torch.inference_mode():
            representation = small.represent(crops)
            probability = small.classify(representation).softmax(1).mean(0)
        np.testing.assert_allclose(features[i], representation.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(logits[i], probability.log(), rtol=1e-4, atol=1e-5)
