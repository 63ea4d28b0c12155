"""A convolution that leaves out the taps which only ever meet padding.

Networks made for 224 x 224 pictures shrink 32 x 32 ones to a single pixel in their last stage,
where the border of a padded 3 x 3 kernel multiplies nothing but zeros: 8 of 9 taps of the largest
layers of a ResNet. The result without them is the same, at a fraction of the work.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from rrnet_cli.features.weight_gradient import ByProductConv2d


class TrimmedConv2d(ByProductConv2d):
    """`nn.Conv2d` with the same parameters and the same function.

    Taps are left out where all of the result comes from a kernel inside the picture; elsewhere
    this is its base.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, in_channels, height, width) -> (n, out_channels, ...)."""
        rows, columns = (self._taps(axis, inputs.shape[2 + axis]) for axis in (0, 1))
        if rows is None or columns is None:
            return super().forward(inputs)
        # One output pixel, all of the picture under the kernel: a linear map. Channels come last,
        # as they lie in memory.
        weight = self.weight[:, :, rows, columns].permute(0, 2, 3, 1).flatten(1)
        pixels = inputs.permute(0, 2, 3, 1).flatten(1)
        return functional.linear(pixels, weight, self.bias)[:, :, None, None]

    def _taps(self, axis: int, size: int) -> slice | None:
        """The taps that meet the picture where there is one output along `axis`, else None."""
        kernel, stride, padding = self.kernel_size[axis], self.stride[axis], self.padding[axis]
        if isinstance(padding, str) or self.dilation[axis] != 1:
            return None
        single = (size + 2 * padding - kernel) // stride == 0
        inside = padding + size <= kernel
        return slice(padding, padding + size) if single and inside else None


def trim(network: nn.Module) -> nn.Module:
    """Turn every plain `nn.Conv2d` in `network` into a `TrimmedConv2d`, weights untouched."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.padding_mode == "zeros" and module.groups == 1:
            module.__class__ = TrimmedConv2d
    return network
