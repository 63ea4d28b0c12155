"""What factorisations are made of, with gradients: sparse products, pairs, weighted squares.

Autograd's own forms turn a sparse matrix over at every step, and write a table as large as the
factors for each operation on them: on Ciao that is most of a step.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rrnet_cli.features.rating_data import IntArray


class SparseMatrix:
    """A constant sparse matrix to multiply dense ones with.

    Args:
        rows: (n,) int64.
        columns: (n,) int64; values of the same place are added up.
        value: (n,) float32.
        shape: Of the matrix.

    Raises:
        IndexError: A place outside of the matrix.
    """

    def __init__(
        self, rows: IntArray, columns: IntArray, value: NDArray[np.float32], shape: tuple[int, int]
    ) -> None:
        _check(rows, shape[0])
        _check(columns, shape[1])
        self.shape = shape
        order = np.argsort(rows, kind="stable")  # a row's values lie together
        self.entries = rows[order], columns[order], value[order]

    def __matmul__(self, dense: Tensor) -> Tensor:
        """The product with (columns, d) floats, differentiable in them: (rows, d) of their type.

        Raises:
            ValueError: `dense` has another number of rows.
        """
        if len(dense) != self.shape[1]:
            raise ValueError(f"{self.shape} times {tuple(dense.shape)} is no product")
        product: Tensor = _product(dense, self)
        return product


def pair_products(left: Tensor, right: Tensor, row: Tensor, other: Tensor) -> Tensor:
    """The product of two rows, `left[row] · right[other]`, differentiable in both tables.

    Args:
        left: (., d) floats.
        right: (., d) of the same type.
        row: (n,) int64 rows of `left`.
        other: (n,) int64 rows of `right`; a pair may be there more than once.

    Returns:
        (n,), of the same type.

    Raises:
        ValueError: Tables of unlike width or type.
        IndexError: A row that is not there.
    """
    if left.shape[1:] != right.shape[1:] or left.dtype != right.dtype:
        raise ValueError(f"rows of {left.shape[1:]} {left.dtype}, {right.shape[1:]} {right.dtype}")
    pairs = row.numpy(), other.numpy()
    _check(pairs[0], len(left))
    _check(pairs[1], len(right))
    product: Tensor = _pair_products(left, right, *pairs)
    return product


def weighted_squares(value: Tensor, weight: Tensor) -> Tensor:
    """Σ weight |value|² of rows (n, d); scalar, differentiable in the rows.

    `weight` (n,) is of the same type, and constant.
    """
    total: Tensor = _weighted_squares(value, weight)
    return total


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: SparseMatrix) -> Tensor:
        ctx.matrix = matrix
        rows, columns, value = matrix.entries
        return _added(rows, columns, value, dense, matrix.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, columns, value = ctx.matrix.entries
        return _added(columns, rows, value, gradient, ctx.matrix.shape[1]), None


class _PairProducts(Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, row: IntArray, other: IntArray) -> Tensor:
        ctx.save_for_backward(left, right)
        ctx.pairs = row, other
        kernels = _kernels()
        if kernels is None:
            return (left[torch.from_numpy(row)] * right[torch.from_numpy(other)]).sum(1)
        product = torch.empty(len(row), dtype=left.dtype)
        kernels.multiply(row, other, _array(left), _array(right), product.numpy())
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        left, right = ctx.saved_tensors
        row, other = ctx.pairs
        weight = _array(gradient)
        return (
            _added(row, other, weight, right, len(left)),
            _added(other, row, weight, left, len(right)),
            None,
            None,
        )


class _WeightedSquares(Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(value, weight)
        return torch.einsum("nd,nd->n", value, value) @ weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        value, weight = ctx.saved_tensors
        return value * (2 * gradient * weight)[:, None], None


_product: Any = _Product.apply
_pair_products: Any = _PairProducts.apply
_weighted_squares: Any = _WeightedSquares.apply


@cache
def _kernels() -> ModuleType | None:
    """The module of kernels; None where numba does not work, and torch has to do."""
    try:
        from rrnet_cli.features import factor_kernels
    except (ImportError, RuntimeError, OSError, AttributeError):  # as `engines.choose`
        return None
    return factor_kernels


def _added(
    into: IntArray, of: IntArray, weight: NDArray[Any], dense: Tensor, num_rows: int
) -> Tensor:
    """Σ weight[n] dense[of[n]] into row `into[n]`, in the order of n: (num_rows, d)."""
    total = torch.zeros(num_rows, dense.shape[1], dtype=dense.dtype)
    kernels = _kernels()
    if kernels is None:
        terms = torch.from_numpy(weight)[:, None] * dense[torch.from_numpy(of)]
        return total.index_add_(0, torch.from_numpy(into), terms.to(dense.dtype))
    kernels.add(into, of, weight, _array(dense), total.numpy())
    return total


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().contiguous().numpy()
    return array


def _check(rows: IntArray, count: int) -> None:
    """Kernels look at no bounds."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < count:
        raise IndexError(f"rows {rows.min()} to {rows.max()} of a table of {count}")
