from __future__ import annotations

import pytest
import torch

from rrnet_cli.models.rows import StoredRows

ROWS = 2**14 + 100  # more than are read at a time


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_rows_are_standardised_over_all_and_constant_columns_are_zero(dtype: torch.dtype) -> None:
    stored = (torch.randn(ROWS, 3) * torch.tensor([1.0, 30.0, 0.0]) + 5).to(dtype)
    before = stored.clone()
    rows = StoredRows.standardised(stored)
    wide = stored.double().numpy()
    expected = torch.from_numpy((wide - wide.mean(0)) / wide.std(0).clip(1e-9)).float()
    expected[:, 2] = 0.0
    ids = torch.randint(ROWS, (50,))
    for some in (ids, ids.int(), slice(3, 40), slice(None)):
        assert rows[some].dtype == torch.float32
        torch.testing.assert_close(rows[some], expected[some], rtol=1e-5, atol=1e-5)
    assert rows.shape == (ROWS, 3) and torch.equal(stored, before)


def test_plain_rows_are_the_values() -> None:
    stored = torch.randn(9, 4).half()
    assert torch.equal(StoredRows.plain(stored)[torch.tensor([7, 2])], stored[[7, 2]].float())
