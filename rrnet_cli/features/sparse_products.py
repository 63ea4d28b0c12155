"""What factorisations are made of, with gradients: sparse products, pairs, weighted squares.

Autograd's own forms turn a sparse matrix over at every step, and write a table as large as the
factors for each operation on them: on Ciao that is most of a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from rrnet_cli.compiled import kernel
from rrnet_cli.features.rating_data import IntArray


class SparseMatrix:
    """A constant sparse matrix to multiply dense ones with.

    Args:
        rows, columns: (n,) int64 places; values of the same place are added up.
        value: (n,) float32.
        shape: Of the matrix.
    """

    def __init__(
        self, rows: IntArray, columns: IntArray, value: NDArray[np.float32], shape: tuple[int, int]
    ) -> None:
        self.shape = shape
        order = np.argsort(rows, kind="stable")  # a row's values lie together
        self.entries = rows[order], columns[order], value[order]

    def __matmul__(self, dense: Tensor) -> Tensor:
        """Times (columns, d) float32 or float64, differentiable in it: (rows, d)."""
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
    """
    product: Tensor = _pair_products(left, right, row.numpy(), other.numpy())
    return product


def weighted_squares(value: Tensor, weight: Tensor) -> Tensor:
    """Σ weight |value|² of rows (n, d) and their weights (n,); scalar, differentiable in value."""
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
        product = torch.empty(len(row), dtype=left.dtype)
        _multiply(row, other, _array(left), _array(right), product.numpy())
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


def _added(
    into: IntArray, of: IntArray, weight: NDArray[Any], dense: Tensor, num_rows: int
) -> Tensor:
    """Σ weight[n] dense[of[n]] into row `into[n]`, in the order of n: (num_rows, d)."""
    total = torch.zeros(num_rows, dense.shape[1], dtype=dense.dtype)
    _add(into, of, weight, _array(dense), total.numpy())
    return total


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().contiguous().numpy()
    return array


@kernel
def _multiply(row: Any, other: Any, left: Any, right: Any, product: Any) -> None:
    for pair in range(row.shape[0]):
        one, two = left[row[pair]], right[other[pair]]
        total = product.dtype.type(0)
        for column in range(left.shape[1]):
            total += one[column] * two[column]
        product[pair] = total


@kernel
def _add(into: Any, of: Any, weight: Any, dense: Any, total: Any) -> None:
    for entry in range(into.shape[0]):
        target, source, share = total[into[entry]], dense[of[entry]], weight[entry]
        for column in range(dense.shape[1]):
            target[column] += share * source[column]
