"""What the tests of convolutions share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def assert_same_function(plain: nn.Module, other: nn.Module, inputs: Tensor) -> None:
    """Values, and gradients of inputs and of every parameter, agree."""
    results = []
    for module in (plain, other):
        given = inputs.clone().requires_grad_()
        output = module(given)
        output.square().sum().backward()
        results.append([output, given.grad, *(p.grad for p in module.parameters())])
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)
