"""Training on samples of the graph through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result

pytestmark = pytest.mark.filterwarnings("ignore")  # as in a process of its own

TRAIN = ("train", "--preset", "plus", "--epochs", "3", "--json")
SAMPLED = (*TRAIN, "--batch-size", "16", "--fanout", "3,-1")


def test_the_digits(invoke: Callable[..., Result], store: Path) -> None:
    first, full = invoke(*SAMPLED), invoke(*TRAIN)
    assert (first.code, full.code) == (0, 0), first.err + full.err
    assert first.json["artifact"] != full.json["artifact"]
    assert first.json["summary"]["epochs"] == 3
    (weights,) = store.glob(f"{first.json['artifact'].replace('@', '/')}/model.safetensors")
    before = weights.read_bytes()
    assert invoke(*SAMPLED).json["cached"] is True
    assert invoke(*SAMPLED, "--force").json["cached"] is False
    assert weights.read_bytes() == before
    judged = invoke("eval", first.json["artifact"], "--resamples", "50")
    assert judged.code == 0 and "RR-Net" in judged.out
