"""What the cache of compiled kernels must not do."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rrnet_cli.compiled import kernel, run
from tests.uncompiled import without_compiler


def fill(out: Any) -> None:
    out[:] = 1


def test_a_kernel_that_was_kept_under_another_ones_name_is_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    wide, narrow = np.zeros(4, np.float64), np.zeros(4, np.float32)
    first = kernel(fill)
    first(wide)
    first(narrow)
    one, two = sorted(tmp_path.rglob("*.nbc"))
    one.write_bytes(two.read_bytes())  # as two processes leave it that write at once
    again = kernel(fill)
    wide[:] = narrow[:] = 0
    again(wide)
    again(narrow)
    assert wide.tolist() == narrow.tolist() == [1.0] * 4
    assert sum(again.stats.cache_hits.values()) == 1  # what is right is still used
    mended = kernel(fill)
    mended(wide)
    assert sum(mended.stats.cache_hits.values()) == 1


def test_entries_whose_types_have_moved_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    kernel(fill)(np.zeros(3))
    (index,) = tmp_path.rglob("*.nbi")
    index.write_bytes(index.read_bytes().replace(b"numba.core.types", b"numba.gone.types"))
    out = np.zeros(3)
    kernel(fill)(out)
    assert out.tolist() == [1.0] * 3
    again = kernel(fill)
    again(out)
    assert sum(again.stats.cache_hits.values()) == 1  # what was written since is used


def test_a_full_disk_does_not_stop_a_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    out = np.zeros(3)
    kernel(fill)(out)
    assert out.tolist() == [1.0] * 3


def test_without_a_compiler_the_plain_engine_is_chosen() -> None:
    code = "from rrnet_cli.models import engines; print(engines.choose().name)"
    assert without_compiler(code) == "dgl"


def test_factors_are_fitted_without_a_compiler() -> None:
    code = (
        "import rrnet_cli.stages._ratings, rrnet_cli.stages.fitting, torch\n"
        "from rrnet_cli.features.sparse_products import pair_products\n"
        "print(pair_products(torch.ones(2, 3), torch.ones(2, 3), *torch.tensor([[0], [1]])))"
    )
    assert without_compiler(code) == "tensor([3.])"


def test_every_task_runs_and_an_error_of_one_is_raised() -> None:
    done: list[int] = []
    run(done.append, [(number,) for number in range(4)])
    assert sorted(done) == [0, 1, 2, 3]
    for tasks in ([(0,)], [(1,), (0,)]):
        with pytest.raises(ZeroDivisionError):
            run(lambda value: [1 // value], tasks)
