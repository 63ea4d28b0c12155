"""Values against dense matrices, gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from rrnet_cli.features import sparse_products
from rrnet_cli.features.sparse_products import SparseMatrix, pair_products, weighted_squares


def places(seed: int, count: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of a (rows, columns) matrix, some of them twice where there are many."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, rows, count), rng.integers(0, columns, count)


def table(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64, requires_grad=True)


@pytest.fixture(params=["kernels", "torch"], autouse=True)
def compiler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything with kernels, and as where numba does not work."""
    if request.param == "torch":
        monkeypatch.setattr(sparse_products, "_kernels", lambda: None)


# the first example compiles; the fixture is the same for all of them
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 99),
    count=st.integers(0, 40),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
)
def test_all_are_their_dense_forms(seed: int, count: int, rows: int, columns: int) -> None:
    row, column = places(seed, count, rows, columns)
    value = np.random.default_rng(seed).normal(size=count).astype(np.float32)
    dense = np.zeros((rows, columns))
    np.add.at(dense, (row, column), value)
    left, right = table(rows, 3), table(columns, 3, seed=1)
    product = SparseMatrix(row, column, value, (rows, columns)) @ right
    np.testing.assert_allclose(product.detach(), dense @ right.detach().numpy(), atol=1e-12)

    pairs = torch.from_numpy(row), torch.from_numpy(column)
    expected = (left[pairs[0]] * right[pairs[1]]).sum(1)
    torch.testing.assert_close(pair_products(left, right, *pairs), expected)

    weight = torch.arange(rows, dtype=torch.float64)
    squares = sum(w * (v**2).sum() for w, v in zip(weight, left, strict=True))
    torch.testing.assert_close(weighted_squares(left, weight), squares)


def test_gradients_are_those_of_finite_differences() -> None:
    row, column = places(3, 30, 5, 4)
    matrix = SparseMatrix(row, column, np.linspace(-1, 1, 30, dtype=np.float32), (5, 4))
    left, right = table(5, 3), table(4, 3, seed=1)
    pairs = torch.from_numpy(row), torch.from_numpy(column)
    assert gradcheck(lambda dense: matrix @ dense, (right,))
    assert gradcheck(lambda one, other: pair_products(one, other, *pairs), (left, right))
    assert gradcheck(lambda value: weighted_squares(value, torch.arange(5.0).double()), (left,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_keep_the_type_and_whoever_is_in_no_pair_has_none(dtype: torch.dtype) -> None:
    left, right = (table(rows, 2).detach().to(dtype).requires_grad_() for rows in (3, 2))
    pair_products(left, right, torch.tensor([0, 0, 2]), torch.tensor([1, 1, 0])).sum().backward()
    assert left.grad is not None and right.grad is not None
    assert left.grad.dtype == right.grad.dtype == dtype
    assert torch.equal(left.grad, torch.stack([2 * right[1], 0 * right[1], right[0]]).detach())
    assert torch.equal(right.grad, torch.stack([left[2], 2 * left[0]]).detach())


def test_what_does_not_fit_is_refused() -> None:
    value, one = np.ones(1, np.float32), torch.tensor([1])
    for row, column in ((2, 0), (0, 3), (-1, 0)):
        with pytest.raises(IndexError, match="of a table of"):
            SparseMatrix(np.array([row]), np.array([column]), value, (2, 3))
    with pytest.raises(ValueError, match="no product"):
        SparseMatrix(np.array([0]), np.array([0]), value, (2, 3)) @ torch.ones(2, 1)
    with pytest.raises(IndexError, match="rows 1 to 1 of a table of 1"):
        pair_products(torch.ones(2, 2), torch.ones(1, 2), one, one)
    for other in (torch.ones(2, 3), torch.ones(2, 2).double()):
        with pytest.raises(ValueError, match="rows of"):
            pair_products(torch.ones(2, 2), other, one, one)
