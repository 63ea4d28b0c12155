"""The convolution with its weights' gradient by one product is torch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rrnet_cli.features import weight_gradient
from rrnet_cli.features.weight_gradient import SMALL, ByProductConv2d
from tests.features.convolutions import assert_same_function, assert_same_under_autocast


def by_product(plain: nn.Conv2d) -> ByProductConv2d:
    """The same parameters in the class under test."""
    module = copy.deepcopy(plain)
    module.__class__ = ByProductConv2d
    assert isinstance(module, ByProductConv2d)
    return module


@settings(deadline=None)  # oneDNN compiles a shape when it first meets it
@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    last=st.booleans(),
)
def test_values_and_gradients_are_those_of_conv2d(
    size: tuple[int, int],
    kernel: int | tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
    bias: bool,
    last: bool,
) -> None:
    kernels = (kernel, kernel) if isinstance(kernel, int) else kernel
    # torch refuses a kernel larger than the padded picture
    assume(all(n + 2 * padding > dilation * (k - 1) for n, k in zip(size, kernels, strict=True)))
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, kernels, stride, padding, dilation, bias=bias).double()
    pictures = torch.randn(2, 3, *size, dtype=torch.float64)
    if last:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
    assert_same_function(plain, by_product(plain), pictures)


@pytest.mark.parametrize(("side", "ours"), [(4, True), (5, False)])
def test_it_is_its_own_of_small_outputs(
    side: int, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not fall back on torch's there, and does elsewhere."""
    assert SMALL == 4 * 4
    module = by_product(nn.Conv2d(4, 4, 3, padding=1, bias=False))

    def sevens(grad: Tensor, inputs: Tensor, weight: Tensor, *_: int) -> Tensor:
        return torch.full_like(weight, 7.0)

    monkeypatch.setattr(weight_gradient, "_weight_gradient", sevens)
    module(torch.randn(1, 4, side, side)).sum().backward()
    assert module.weight.grad is not None
    assert bool((module.weight.grad == 7).all()) == ours


def test_under_autocast_it_computes_in_bfloat16_and_its_gradients_are_float32() -> None:
    torch.manual_seed(0)  # some draws differ in a sum's last bit of bfloat16
    module = by_product(nn.Conv2d(4, 6, 3, padding=1, bias=False))
    assert_same_under_autocast(module, torch.randn(2, 4, 4, 4))
