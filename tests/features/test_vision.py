"""torchvision's networks, cut at the representation."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from rrnet_cli.errors import ConfigError
from rrnet_cli.features.vision import VisionNet, build_vision

BACKBONES = ("resnet18", "resnet50", "mobilenet_v2")


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
def test_shapes(backbone: str, stem: str) -> None:
    network = build_vision(backbone, stem, num_classes=7, feature_dim=20).eval()
    pixels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    with torch.inference_mode():
        representation = network.represent(pixels)
        logits = network.classify(representation)
        assert torch.equal(network(pixels), logits)
    assert representation.shape == (2, 20)
    assert logits.shape == (2, 7)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_imagenet_stem_is_torchvisions_network(backbone: str) -> None:
    theirs = models.get_model(backbone, weights=None, num_classes=10).eval()
    own_width = {"resnet18": 512, "resnet50": 2048, "mobilenet_v2": 1280}[backbone]
    ours = build_vision(backbone, "imagenet", 10, own_width).eval()
    assert isinstance(ours.bottleneck, nn.Identity)
    assert count(ours) == count(theirs)
    state = {f"trunk.{name}": value for name, value in theirs.state_dict().items()}
    head = "fc" if backbone.startswith("resnet") else "classifier.1"
    for part in ("weight", "bias"):
        state[f"classifier.{part}"] = state.pop(f"trunk.{head}.{part}")
    state |= {"pixel_mean": torch.zeros(3), "pixel_std": torch.ones(3)}
    ours.load_state_dict(state)
    pictures = torch.randn(2, 3, 32, 32).double()  # in float32 fifty layers differ by rounding
    with torch.inference_mode():
        torch.testing.assert_close(ours.double()(pictures), theirs.double()(pictures))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_cifar_stem_keeps_the_resolution(backbone: str) -> None:
    """kuangliu's strides: 4 x 4 in the end where ImageNet's have 1 x 1."""
    sizes = {}
    for stem in ("imagenet", "cifar"):
        network = build_vision(backbone, stem, 10).eval()
        last = network.trunk.layer4 if backbone != "mobilenet_v2" else network.trunk.features
        last.register_forward_hook(
            lambda module, args, output, stem=stem: sizes.update({stem: tuple(output.shape[2:])})
        )
        with torch.inference_mode():
            network(torch.zeros(1, 3, 32, 32))
    assert sizes == {"imagenet": (1, 1), "cifar": (4, 4)}


def test_known_numbers_of_parameters() -> None:
    assert count(build_vision("resnet18", "imagenet", 10)) == 11_181_642
    # kuangliu's ResNet18, the usual CIFAR one.
    assert count(build_vision("resnet18", "cifar", 10)) == 11_173_962
    plain = count(models.resnet50(num_classes=10)) - 2048 * 10
    assert count(build_vision("resnet50", "imagenet", 10)) == plain + 2048 * 512 + 512 + 512 * 10


def test_pixels_are_normalised_by_channel() -> None:
    network = VisionNet(nn.Flatten(), 12, 2)
    mean, std = torch.tensor([10.0, 100.0, 200.0]), torch.tensor([1.0, 20.0, 60.0])
    network.set_normalisation(mean, std)
    pixels = torch.randint(0, 256, (5, 4, 6, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    before = pixels.clone()
    result = network.normalise(pixels)
    expected = (pixels.double() - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-5)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pixels, before)
    torch.testing.assert_close(network.normalise(pixels.contiguous()), result)


def test_floats_are_taken_as_normalised() -> None:
    network = build_vision("resnet18", "imagenet", 3).eval()
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(network(pixels), network(network.normalise(pixels)))


@pytest.mark.parametrize(
    ("backbone", "stem", "named"),
    [("resnet34", "cifar", "resnet18, resnet50"), ("resnet18", "tiny", "imagenet, cifar")],
)
def test_unknown_networks_are_refused(backbone: str, stem: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_vision(backbone, stem, 10)
    assert caught.value.hint is not None
    assert named in caught.value.hint
