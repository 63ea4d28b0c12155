"""The kernels as functions that autograd knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rrnet_cli.compiled import run
from rrnet_cli.models.engines import decoder_kernels, kernels
from rrnet_cli.models.engines.base import SOURCE, TARGET, End
from rrnet_cli.models.engines.edges import Array, EdgeIndex, divide
from rrnet_cli.models.engines.vectors import Lanes


@dataclass(frozen=True)
class Form:
    """What an edge layer computes, besides its tensors.

    Attributes:
        index: The edges.
        means: The ends whose nodes take a mean.
        storage: Type of the new attributes in memory; None for that of the parameters.
    """

    index: EdgeIndex
    means: tuple[End, ...]
    storage: torch.dtype | None = None


class _Call:
    """One run of a kernel over all edges: its common arguments, and room for sums."""

    def __init__(self, form: Form, tensors: Sequence[Tensor | None]) -> None:
        source, target, x, weight_x, head, bias = tensors
        assert source is not None and bias is not None and weight_x is not None
        self.index, self.dtype, self.width = form.index, source.dtype, len(bias)
        self.parts = form.index.parts()
        self.weights = [
            self.rows(value) for value in (weight_x.T, None if head is None else head.T, bias[None])
        ]
        layer = (self.rows(source), self.rows(target), self.rows(x), *self.weights)
        self.common = ((*form.index.ends, form.index.grid, form.index.into), layer)

    def rows(self, value: Tensor | None) -> Array:
        """The tensor's own memory where it is contiguous; no rows for None."""
        if value is None:
            return torch.empty(0, self.width, dtype=self.dtype).numpy()
        return _rows(value)

    def node_sums(self, num_rows: int, side: int) -> Tensor:
        """Zeros (1, num_rows, hidden), or one such for each part where parts share nodes."""
        shared = len(self.parts) > 1 and side != self.index.owned
        return torch.zeros(len(self.parts) if shared else 1, num_rows, self.width, dtype=self.dtype)

    def weight_sums(self) -> list[Tensor]:
        """Zeros (num_parts, *shape of the weight): sums over all edges are in float64."""
        return [
            torch.zeros(len(self.parts), *value.shape, dtype=torch.float64)
            for value in self.weights
        ]

    def means(self, sums: Tensor, side: int) -> Tensor:
        """Of the sums of each part, (num_nodes, hidden)."""
        rows = self.index.sizes[side]
        return _joined(sums)[:rows] * self._inverse(side)[:rows]

    def of_sums(self, grad: Tensor | None, side: int) -> Array:
        """The gradient of the sums from that of the means; no rows for None."""
        if grad is None:
            return self.rows(None)
        inverse = self._inverse(side)
        result = inverse.new_zeros(len(inverse), self.width)
        torch.mul(grad, inverse[: len(grad)], out=result[: len(grad)])
        return self.rows(result)

    def _inverse(self, side: int) -> Tensor:
        return self.index.inverse[side].to(self.dtype)[:, None]

    def run(self, kernel: Callable[..., None], rest: Callable[[int], tuple[Any, ...]]) -> None:
        """Call the kernel on every part, with the further arguments of the part's number."""
        lanes = Lanes(self.width)
        run(kernel, [(lanes, p, *self.common, *rest(i)) for i, p in enumerate(self.parts)])


def _of_part(sums: Tensor, part: int) -> Array:
    """The rows that a part adds to."""
    return sums[part if len(sums) > 1 else 0].numpy()


def _joined(sums: Tensor) -> Tensor:
    """The sum over parts."""
    return sums[0] if len(sums) == 1 else sums.sum(0)


class EdgeLayer(Function):
    """`kernels.edge_forward` and `edge_backward`, with means in place of sums."""

    @staticmethod
    def forward(ctx: Any, form: Form, *tensors: Tensor | None) -> Any:
        """The new attributes, and the means by source and by target; None for one not wanted.

        Args:
            ctx: Of autograd.
            form: See `Form`.
            tensors: `source`, `target`, `x`, `weight_x` (hidden, width of x), `head` (hidden out,
                hidden in), `bias`.
        """
        ctx.form = form
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        call = _Call(form, tensors)
        out = torch.empty(form.index.num_edges, call.width, dtype=form.storage or call.dtype)
        sums = [
            call.node_sums(len(form.index.inverse[side]), side) if end in form.means else None
            for side, end in enumerate((SOURCE, TARGET))
        ]
        none = call.rows(None)
        call.run(
            kernels.edge_forward,
            lambda part: (
                _rows(out),
                tuple(none if value is None else _of_part(value, part) for value in sums),
            ),
        )
        means = [
            None if value is None else call.means(value, side) for side, value in enumerate(sums)
        ]
        return out, *means

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor | None, *grad_means: Tensor | None) -> Any:
        """The gradients of all of `forward`'s arguments."""
        tensors = ctx.saved_tensors
        call = _Call(ctx.form, tensors)
        of_sums = [call.of_sums(grad, side) for side, grad in enumerate(grad_means)]
        given = (
            (call.rows(grad_out), tuple(of_sums)),
            (call.rows(tensors[3]), call.rows(tensors[4])),
        )
        node_sums = [call.node_sums(size, side) for side, size in enumerate(call.index.sizes)]
        weight_sums = call.weight_sums()
        grad_x = _like(tensors[2]) if ctx.needs_input_grad[3] else None
        call.run(
            kernels.edge_backward,
            lambda part: (
                *given,
                (
                    tuple(_of_part(value, part) for value in node_sums),
                    tuple(value[part].numpy() for value in weight_sums),
                ),
                call.rows(grad_x),
            ),
        )
        weight_x, head, bias = (_joined(value).to(call.dtype) for value in weight_sums)
        source, target = map(_joined, node_sums)
        return None, source, target, grad_x, weight_x.T, head.T, bias[0]


class Decoder(Function):
    """`decoder_kernels.decoder_forward` and `decoder_backward`."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        """(num_edges,) logits of `x` by the two maps (hidden, hidden) and (1, hidden)."""
        ctx.save_for_backward(*tensors)
        x = tensors[0]
        out = torch.empty(len(x), dtype=tensors[1].dtype)
        layer, lanes = _decoder_layer(tensors), Lanes(x.shape[1])
        rows = _rows(x)
        run(
            decoder_kernels.decoder_forward,
            [(lanes, part, rows, layer, out.numpy()) for part in divide(len(x))],
        )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> Any:
        """The gradients of all of `forward`'s arguments."""
        tensors = ctx.saved_tensors
        x, weight = tensors[:2]
        layer, lanes, parts = _decoder_layer(tensors), Lanes(x.shape[1]), divide(len(x))
        sums = [torch.zeros(len(parts), *value.shape, dtype=torch.float64) for value in layer]
        grad_x = _like(x)
        given = (_rows(x), layer, _rows(grad_out), _rows(weight))
        tasks = [
            (lanes, part, *given, tuple(value[i].numpy() for value in sums), _rows(grad_x))
            for i, part in enumerate(parts)
        ]
        run(decoder_kernels.decoder_backward, tasks)
        weight_x, bias, head, head_bias = (_joined(value).to(weight.dtype) for value in sums)
        return grad_x, weight_x.T, bias[0], head, head_bias[0]


def _like(value: Tensor) -> Tensor:
    """Room for its gradient; C-contiguous whatever its strides, for kernels write to it."""
    return torch.empty_like(value, memory_format=torch.contiguous_format)


def _rows(value: Tensor) -> Array:
    """The tensor's own memory where it is contiguous; bfloat16, which numpy lacks, as uint16."""
    value = value.detach().contiguous()
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy().view(np.uint16)
    return value.numpy()


def _decoder_layer(tensors: Sequence[Tensor]) -> tuple[Array, ...]:
    """The weights as `decoder_kernels.decoder_forward` takes them."""
    _, weight, bias, head, head_bias = tensors
    return _rows(weight.T), _rows(bias[None]), _rows(head), _rows(head_bias[None])
