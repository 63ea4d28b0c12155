"""Kernels of `sparse_products`: sums and products of rows that lie anywhere in a table."""

from __future__ import annotations

from typing import Any

from rrnet_cli.compiled import kernel


@kernel
def multiply(row: Any, other: Any, left: Any, right: Any, product: Any) -> None:
    """`product[n] = left[row[n]] · right[other[n]]`."""
    for pair in range(row.shape[0]):
        one, two = left[row[pair]], right[other[pair]]
        total = product.dtype.type(0)
        for column in range(left.shape[1]):
            total += one[column] * two[column]
        product[pair] = total


@kernel
def add(into: Any, of: Any, weight: Any, dense: Any, total: Any) -> None:
    """`total[into[n]] += weight[n] * dense[of[n]]`, in the order of n."""
    for entry in range(into.shape[0]):
        target, source, share = total[into[entry]], dense[of[entry]], weight[entry]
        for column in range(dense.shape[1]):
            target[column] += share * source[column]
