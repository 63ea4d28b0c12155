"""A matrix of raw attributes that stays where it lies, on disk perhaps, until its rows are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

TINY = 1e-12
"""A standard deviation up to which a column counts as constant."""
_BLOCK = 2**14


@dataclass(frozen=True)
class StoredRows:
    """Rows of a memory-mapped tensor, in float32, standardised when they are read.

    Attributes:
        stored: (rows, width) of any floating type.
        mean: (width,) float64, subtracted.
        factor: (width,) float64, multiplied by afterwards; 0 makes a constant column zero.
    """

    stored: Tensor
    mean: Tensor
    factor: Tensor

    @classmethod
    def plain(cls, stored: Tensor) -> StoredRows:
        """The values as they are."""
        width = stored.shape[1]
        return cls(stored, torch.zeros(width).double(), torch.ones(width).double())

    @classmethod
    def standardised(cls, stored: Tensor) -> StoredRows:
        """Zero mean and unit variance a column over all rows; constant columns become zero."""
        mean = sum((part.sum(dim=0) for part in _parts(stored)), torch.zeros(())) / len(stored)
        squares = (((part - mean).square()).sum(dim=0) for part in _parts(stored))
        spread = (sum(squares, torch.zeros(())) / len(stored)).sqrt()
        factor = torch.where(spread > TINY, 1 / spread.clamp_min(TINY), 0.0)
        return cls(stored, mean, factor)

    @property
    def shape(self) -> torch.Size:
        """Rows and width."""
        return self.stored.shape

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Some rows, float32: ids (count,) or a slice -> (count, width)."""
        some = rows_of(self.stored, rows)
        return (some.float() - self.mean.float()).mul_(self.factor.float())


def rows_of(matrix: Tensor | StoredRows, rows: Tensor | slice) -> Tensor:
    """`matrix[rows]`, which torch does several times faster by another name."""
    if isinstance(matrix, Tensor) and isinstance(rows, Tensor):
        return matrix.index_select(0, rows)
    return matrix[rows]


def _parts(stored: Tensor) -> Iterator[Tensor]:
    return (part.double() for part in stored.split(_BLOCK))
