"""The depthwise convolution is torch's own, with torch's own gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from rrnet_cli.features.depthwise import DepthwiseConv2d, quicken
from tests.features.convolutions import assert_same_function, assert_same_under_autocast


@settings(deadline=None)  # oneDNN compiles a shape when it first meets it
@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
)
def test_values_and_gradients_are_those_of_conv2d(
    size: tuple[int, int], kernel: int, stride: int, padding: int
) -> None:
    assume(padding < kernel)
    # torch refuses a kernel larger than the padded picture
    assume(min(size) + 2 * padding >= kernel)
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 5, kernel, stride, padding, groups=5, bias=False).double()
    quick = quicken(copy.deepcopy(plain))
    assert type(quick) is DepthwiseConv2d
    pictures = torch.randn(2, 5, *size, dtype=torch.float64)
    assert_same_function(plain, quick, pictures)


def test_the_gradient_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not fall back on torch's."""
    module = quicken(nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False))
    monkeypatch.setattr(
        "rrnet_cli.features.depthwise._input_gradient",
        lambda grad, inputs, *_: torch.full_like(inputs, 7.0),
    )
    inputs = torch.randn(1, 4, 3, 3, requires_grad=True)
    module(inputs).sum().backward()
    assert inputs.grad is not None
    assert (inputs.grad == 7).all()


def test_under_autocast_it_computes_in_bfloat16_and_its_gradients_are_float32() -> None:
    torch.manual_seed(0)
    module = quicken(nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False))
    assert isinstance(module, DepthwiseConv2d)
    assert_same_under_autocast(module, torch.randn(2, 4, 5, 5))


def test_only_plain_depthwise_convolutions_are_changed() -> None:
    others = [
        nn.Conv2d(4, 8, 3, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, groups=2, bias=False),
        nn.Conv2d(4, 4, 3, groups=4, bias=True),
        nn.Conv2d(4, 4, (3, 1), groups=4, bias=False),
        nn.Conv2d(4, 4, 3, groups=4, bias=False, dilation=2),
        nn.Conv2d(4, 4, 3, groups=4, bias=False, padding=3),
        nn.Conv2d(4, 4, 3, groups=4, bias=False, padding="same"),
        nn.Conv2d(1, 1, 3, bias=False),
    ]
    quicken(nn.Sequential(*others))
    assert [type(module) for module in others] == [nn.Conv2d] * len(others)
