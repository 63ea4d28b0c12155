"""The trimmed convolution is torch's own, tap for tap."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from rrnet_cli.features.trimmed import TrimmedConv2d, trim
from tests.features.convolutions import assert_same_function


@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
)
def test_values_and_gradients_are_those_of_conv2d(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
    bias: bool,
) -> None:
    reach = [dilation * (k - 1) + 1 for k in kernel]
    # torch refuses a kernel larger than the padded picture
    assume(all(n + 2 * padding >= r for n, r in zip(size, reach, strict=True)))
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, kernel, stride, padding, dilation, bias=bias).double()
    trimmed = trim(copy.deepcopy(plain))
    assert type(trimmed) is TrimmedConv2d
    pictures = torch.randn(2, 3, *size, dtype=torch.float64)
    assert_same_function(plain, trimmed, pictures)


def test_it_does_leave_taps_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 3 x 3 kernel on one pixel never reaches torch's convolution."""
    module = trim(nn.Conv2d(3, 4, 3, padding=1))
    monkeypatch.setattr(nn.Conv2d, "forward", lambda *_: pytest.fail("convolved"))
    assert module(torch.randn(2, 3, 1, 1)).shape == (2, 4, 1, 1)


def test_grouped_and_reflecting_convolutions_stay() -> None:
    grouped = nn.Conv2d(4, 4, 3, groups=4)
    reflecting = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
    trim(nn.Sequential(grouped, reflecting))
    assert type(grouped) is type(reflecting) is nn.Conv2d
