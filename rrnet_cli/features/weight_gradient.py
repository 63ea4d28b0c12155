"""A convolution whose weights' gradient is one matrix product, where the picture is small.

torch's gradient with respect to the weights (oneDNN, on a processor) sums along a row of the output
at a time, and in a network of 32 x 32 pictures rows are soon 4 or 2 pixels long: in a ResNet50 it
takes six times as long as the convolutions (`ONEDNN_VERBOSE=1`), which are as many multiplications.
As a product of the gradients at all pixels of the batch with what lies under the kernel there, it
takes about as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input

from rrnet_cli.features.precision import cast_under_autocast

SMALL = 16
"""Pixels of the largest output that this pays for: of larger ones, copying what lies under the
kernel costs more than it saves."""


class _ByProduct(torch.autograd.Function):
    """(n, c, height, width) and (o, c, k, k) -> (n, o, ...), of one stride and one padding."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(inputs, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (grad,) = grads
        inputs, weight = ctx.saved_tensors
        of_inputs = of_weight = None
        if ctx.needs_input_grad[0]:
            of_inputs = conv2d_input(inputs.shape, weight, grad, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(grad, inputs, weight, ctx.stride, ctx.padding)
        return of_inputs, of_weight, None, None


def _weight_gradient(
    grad: Tensor, inputs: Tensor, weight: Tensor, stride: int, padding: int
) -> Tensor:
    """(n, o, rows, columns) and (n, c, height, width) -> (o, c, k, k)."""
    out_channels, channels, kernel, _ = weight.shape
    # channels last, as the network's tensors lie in memory
    padded = functional.pad(inputs, [padding] * 4) if padding else inputs
    pixels = padded.permute(0, 2, 3, 1)
    under = pixels.unfold(1, kernel, stride).unfold(2, kernel, stride)
    # (n, rows, columns, c, k, k) -> (pixels, k * k * c)
    under = under.permute(0, 1, 2, 4, 5, 3).reshape(-1, kernel * kernel * channels)
    product = grad.permute(0, 2, 3, 1).reshape(-1, out_channels).t() @ under
    return product.view(out_channels, kernel, kernel, channels).permute(0, 3, 1, 2)


class ByProductConv2d(nn.Conv2d):
    """`nn.Conv2d` of one group: the same parameters, function and gradient."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, in_channels, height, width) -> (n, out_channels, ...)."""
        if not self._pays(inputs):
            return super().forward(inputs)
        inputs, weight = cast_under_autocast(inputs, self.weight)
        apply: Callable[[Tensor, Tensor, int, int], Tensor] = _ByProduct.apply
        return apply(inputs, weight, self.stride[0], int(self.padding[0]))

    def _pays(self, inputs: Tensor) -> bool:
        """Whether there will be a gradient, on a processor, of a small output of a plain kernel."""
        if inputs.device.type != "cpu" or not torch.is_grad_enabled() or self.bias is not None:
            return False
        if isinstance(self.padding, str) or self.dilation != (1, 1):
            return False
        kernel, stride, padding = self.kernel_size, self.stride, self.padding
        if not all(pair[0] == pair[1] for pair in (kernel, stride, padding)):
            return False
        rows, columns = (
            (size + 2 * padding[0] - kernel[0]) // stride[0] + 1 for size in inputs.shape[2:]
        )
        return rows * columns <= SMALL
