"""Linear maps and MLPs over concatenations that are never built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Init = Literal["he", "torch"]


class BlockLinear(nn.Module):
    """`W (a ‖ b ‖ …) + bias`, applied block by block.

    A linear map of a concatenation is the sum of the blocks' own maps, so a block that lives on
    nodes is mapped on the nodes and gathered afterwards: an edge never holds the raw
    concatenation. The parameters are those of one `nn.Linear` on the whole concatenation.

    Args:
        widths: Width of each block of the concatenation.
        out_features: Width of the result.
        bias: Whether a bias belongs to the map.
        init: `he` keeps the variance through a following ReLU, whatever the depth; `torch` is
            PyTorch's default, which halves the signal a layer or more.
    """

    def __init__(
        self, widths: Sequence[int], out_features: int, bias: bool = True, init: Init = "he"
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.weight = nn.Parameter(torch.empty(out_features, sum(widths)))
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self.reset_parameters(init)

    def reset_parameters(self, init: Init) -> None:
        """Draw the weights anew from the global generator."""
        fan_in = self.weight.shape[1]
        if init == "he":
            nn.init.normal_(self.weight, std=math.sqrt(2.0 / fan_in))
            if self.bias is not None:
                nn.init.zeros_(self.bias)
            return
        bound = 1.0 / math.sqrt(fan_in)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def block_weight(self, index: int) -> Tensor:
        """Columns of the weight that belong to block `index`: (out_features, widths[index])."""
        start = sum(self.widths[:index])
        return self.weight[:, start : start + self.widths[index]]

    def block(self, index: int, value: Tensor, with_bias: bool = False) -> Tensor:
        """Map one block.

        Shapes:
            (rows, widths[index]) -> (rows, out_features).
        """
        bias = self.bias if with_bias else None
        return functional.linear(value, self.block_weight(index), bias)


def map_together(
    value: Tensor, blocks: Sequence[tuple[BlockLinear, int]], rows: Sequence[int]
) -> list[Tensor]:
    """Map one value by several maps' blocks, without their biases.

    One wide product reads the value once, and takes about half the time of as many narrow ones.
    Where blocks are of different rows, there is one product for the rows between.

    Args:
        value: (num_rows, width).
        blocks: Of each a map, and its index there; its width is that of the value.
        rows: How many rows each block maps, the first.

    Returns:
        Of each (its number of rows, out_features of the map), contiguous.
    """
    parts: list[list[Tensor]] = [[] for _ in blocks]
    start = 0
    for stop in sorted(set(rows)):
        wanted = [which for which, count in enumerate(rows) if count >= stop]
        weights = [blocks[which][0].block_weight(blocks[which][1]) for which in wanted]
        together = functional.linear(value[start:stop], torch.cat(weights))
        split = together.split([len(weight) for weight in weights], dim=1)
        for which, part in zip(wanted, split, strict=True):
            parts[which].append(part)
        start = stop
    return [torch.cat(some).contiguous() for some in parts]


class Head(nn.Module):
    """What follows the first linear map of an MLP: ReLU, then a linear map.

    Args:
        hidden: Width of the hidden layer.
        out_features: Width of the result.
        init: See `BlockLinear`.
        zero: Start from zero, so that the head answers 0 until it has learned.
    """

    def __init__(self, hidden: int, out_features: int, init: Init, zero: bool = False) -> None:
        super().__init__()
        self.linear = BlockLinear([hidden], out_features, init=init)
        if zero:
            for parameter in self.linear.parameters():
                nn.init.zeros_(parameter)

    def forward(self, pre_activation: Tensor) -> Tensor:
        """(rows, hidden) -> (rows, out_features)."""
        return self.linear.block(0, functional.relu(pre_activation), with_bias=True)


class MLP(nn.Module):
    """One hidden layer, ReLU, over a concatenation of blocks (Sec. IV: one layer of 16).

    `first` is open to callers, who map and gather node blocks themselves; `forward` takes blocks
    that share their rows.

    Attributes:
        last: Index of the last block.
    """

    def __init__(
        self,
        widths: Sequence[int],
        hidden: int,
        out_features: int,
        init: Init = "he",
        zero: bool = False,
    ) -> None:
        super().__init__()
        self.first = BlockLinear(widths, hidden, init=init)
        self.last = len(self.first.widths) - 1
        self.head = Head(hidden, out_features, init, zero)

    def forward(self, *blocks: Tensor) -> Tensor:
        """Blocks (rows, widths[i]) -> (rows, out_features)."""
        total = self.first.block(0, blocks[0], with_bias=True)
        for index, block in enumerate(blocks[1:], start=1):
            total = total + self.first.block(index, block)
        return self.head(total)
