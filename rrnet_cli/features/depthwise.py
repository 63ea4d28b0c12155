"""A depthwise convolution whose gradient costs what the convolution does, on a processor.

torch's gradient of a depthwise convolution with respect to its input (oneDNN, channels last) takes
a hundred times as long as the convolution, which is most of a training step of a MobileNetV2. But
that gradient is itself a depthwise convolution, with the kernel turned round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from rrnet_cli.features.precision import cast_under_autocast


class _Depthwise(torch.autograd.Function):
    """(n, c, height, width) and (c, 1, k, k) -> (n, c, ...), of one stride and one padding."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(inputs, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (grad,) = grads
        inputs, weight = ctx.saved_tensors
        of_inputs = of_weight = None
        if ctx.needs_input_grad[0]:
            of_inputs = _input_gradient(grad, inputs, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = conv2d_weight(
                inputs, weight.shape, grad, ctx.stride, ctx.padding, groups=len(weight)
            )
        return of_inputs, of_weight, None, None


def _input_gradient(
    grad: Tensor, inputs: Tensor, weight: Tensor, stride: int, padding: int
) -> Tensor:
    """Every output pixel gives its gradient back to the pixels that its kernel lay on."""
    kernel = weight.shape[-1]
    height, width = (size + 2 * padding - kernel + 1 for size in inputs.shape[2:])
    if stride > 1:
        # what an output would be at stride 1, with nothing where the stride has stepped over
        spread = grad.new_zeros(*grad.shape[:2], height, width).to(
            memory_format=torch.channels_last
        )
        spread[:, :, ::stride, ::stride] = grad
        grad = spread
    turned = weight.flip(2, 3)
    return functional.conv2d(grad, turned, padding=kernel - 1 - padding, groups=len(weight))


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with one kernel a channel: the same parameters, function and gradient."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, height, width) -> (n, channels, ...)."""
        if inputs.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(inputs)
        inputs, weight = cast_under_autocast(inputs, self.weight)
        apply: Callable[[Tensor, Tensor, int, int], Tensor] = _Depthwise.apply
        return apply(inputs, weight, self.stride[0], int(self.padding[0]))


def quicken(network: nn.Module) -> nn.Module:
    """Turn every depthwise `nn.Conv2d` in `network` into a `DepthwiseConv2d`, weights untouched.

    Those with a bias, with an oblong kernel, stride or padding, with dilation, or with a padding
    beyond the kernel stay what they are.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and _depthwise(module):
            module.__class__ = DepthwiseConv2d
    return network


def _depthwise(module: nn.Conv2d) -> bool:
    square = all(
        not isinstance(pair, str) and pair[0] == pair[1]
        for pair in (module.kernel_size, module.stride, module.padding)
    )
    return (
        module.groups == module.in_channels == module.out_channels
        and module.groups > 1
        and square
        and module.dilation == (1, 1)
        and module.bias is None
        and module.padding_mode == "zeros"
        and int(module.padding[0]) < module.kernel_size[0]
    )
