from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rrnet_cli.errors import ProcessLostError
from rrnet_cli.training.processes import ALONE, Group

from .together import together

TERMS = (3, 1, 0)


class Two(nn.Module):
    """Parameters that all, some or none of the processes use."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.all, self.some, self.none = (nn.Parameter(torch.randn(2, 3)) for _ in range(3))


def rows(rank: int) -> Tensor:
    return torch.randn(TERMS[rank], 3, generator=torch.Generator().manual_seed(rank))


def loss_of(model: Two, some: Tensor, rank: int) -> Tensor:
    """One term for each row."""
    return (some @ model.all.T).square().sum(1) + (rank == 1) * (some @ model.some.T).sum(1)


def gradients(model: nn.Module) -> dict[str, Tensor | None]:
    return {name: each.grad for name, each in model.named_parameters()}


def combined(group: Group, mean: bool) -> tuple[float, dict[str, Tensor | None]]:
    model, value, own = Two(), 0.0, rows(group.rank)
    if len(own):
        terms = loss_of(model, own, group.rank)
        loss = terms.mean() if mean else terms.sum()
        loss.backward()
        value = float(loss)
    return group.combine(model, value, len(own) if mean else None), gradients(model)


def everything(group: Group) -> dict[str, Any]:
    """What the tests below look at, in one start of the processes."""
    found: dict[str, Any] = {
        "mean": combined(group, True),
        "sum": combined(group, False),
        "added": group.sum(torch.tensor([1.0, group.rank])),
    }
    told = {"rank": group.rank, "none": None, "third": 1 / 3}
    found["led"] = group.lead(lambda: {**told, "threads": torch.get_num_threads()})
    found["threads"] = torch.get_num_threads()
    tensors = {
        "ids": torch.arange(4 * (1 + group.rank)),
        "turned": torch.arange(6.0).view(2, 3).T,
        "bits": torch.tensor([True, False]),
        "step": torch.tensor(2.5),
    }
    found["shared"] = group.share(tensors if group.leads else None)
    torch.manual_seed(5)
    with group.own_stream():
        found["own"] = torch.rand(10 * (1 + group.rank))[:10]
    found["after"] = torch.rand(3)
    found["parts"] = group.own(torch.arange(7)), group.own(torch.arange(2))
    return found


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    return together(len(TERMS), everything)


@pytest.mark.parametrize("kind", ["mean", "sum"])
def test_combined_gradients_are_those_of_all_terms_together(
    found: list[dict[str, Any]], kind: str
) -> None:
    model = Two()
    terms = torch.cat([loss_of(model, rows(rank), rank) for rank in range(len(TERMS))])
    loss = terms.mean() if kind == "mean" else terms.sum()
    loss.backward()
    for each in found:
        value, ours = each[kind]
        assert value == pytest.approx(float(loss), rel=1e-6)
        assert ours["none"] is None, "an optimizer must not touch it"
        for name in ("all", "some"):
            torch.testing.assert_close(ours[name], gradients(model)[name])


def test_what_one_tells_all_hear_to_the_bit(found: list[dict[str, Any]]) -> None:
    first = found[0]
    for each in found:
        torch.testing.assert_close(each["added"], torch.tensor([3.0, 3.0]))
        assert each["led"] == first["led"] and each["led"]["rank"] == 0
        assert each["led"]["third"] == 1 / 3 and each["threads"] == 1
        assert each["shared"]["ids"].tolist() == [0, 1, 2, 3]
        assert each["shared"]["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
        assert each["shared"]["bits"].tolist() == [True, False]
        assert each["shared"]["step"] == 2.5 and each["shared"]["step"].dtype == torch.float32


def test_own_streams_differ_and_leave_the_shared_one_in_step(found: list[dict[str, Any]]) -> None:
    own = torch.stack([each["own"] for each in found])
    assert len(own.unique()) == own.numel()
    assert all(torch.equal(each["after"], found[0]["after"]) for each in found)


def test_shares_are_all_of_it_and_may_be_empty(found: list[dict[str, Any]]) -> None:
    seven, two = zip(*(each["parts"] for each in found), strict=True)
    assert torch.cat(seven).tolist() == list(range(7)) and [len(x) for x in seven] == [3, 2, 2]
    assert torch.cat(two).tolist() == [0, 1] and len(two[2]) == 0


def test_a_process_alone_draws_and_computes_as_if_there_were_no_group() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    with ALONE.own_stream():
        assert torch.equal(torch.rand(4), expected)
    model, seeds = Two(), torch.arange(3)
    loss_of(model, rows(0), 0).mean().backward()
    before = model.all.grad
    assert ALONE.combine(model, 0.5, 3) == 0.5 and model.all.grad is before
    assert ALONE.own(seeds).tolist() == [0, 1, 2]
    assert ALONE.lead(lambda: (1, "no JSON: a tuple")) == (1, "no JSON: a tuple")


def abandoned(group: Group) -> float:
    """Seconds until the first process notices that the other has ended."""
    group.sum(torch.zeros(1))  # all are connected
    if not group.leads:
        return 0.0
    start = time.monotonic()
    with pytest.raises(ProcessLostError, match="ended before its time"):
        group.sum(torch.zeros(1))
    return time.monotonic() - start


def test_a_process_that_ends_is_noticed_at_once() -> None:
    assert together(2, abandoned)[0] < 10
