"""What the tests of convolutions share."""

from __future__ import annotations

import copy

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


def assert_same_under_autocast(module: nn.Conv2d, inputs: Tensor) -> None:
    """`module` computes in bfloat16 as `nn.Conv2d` does, and its gradients are float32."""
    plain = copy.deepcopy(module)
    plain.__class__ = nn.Conv2d
    gradients = []
    for each in (module, plain):
        given = inputs.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = each(given)
        assert output.dtype == torch.bfloat16
        output.float().square().sum().backward()
        gradients.append((given.grad, each.weight.grad))
    for ours, theirs in zip(*gradients, strict=True):
        assert ours is not None
        assert ours.dtype == torch.float32
        # bfloat16 has 8 bits
        torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)
