"""The group of processes that train one model together; a group of one does nothing.

Every process holds the same weights and the same state of torch's generator, and takes part in
every step: each on its share of the step's seeds, with the gradient of the loss over all of them.
What only one can do (judge the network on the full graph, read a checkpoint) the leader does, and
tells the others what it found. Collectives run by gloo: DGL's wheel on PyPI has no CUDA.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as torch_group
from torch import Tensor, nn

from rrnet_cli import runtime
from rrnet_cli.errors import ProcessLostError

T = TypeVar("T")

PATIENCE = timedelta(days=1)
"""The leader may work for long while others wait; a process that died is noticed at once."""


@dataclass(frozen=True)
class Group:
    """The processes of one training, seen from one of them.

    Every method but `own` is a collective: all processes call it, in the same order.

    Attributes:
        rank: Number of this process, from 0, the leader.
        size: How many there are.
        local_size: How many of them are on this machine.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def own(self, seeds: Tensor) -> Tensor:
        """This process's share of a step's seeds, (num_seeds,); shares differ by one at most."""
        return seeds.tensor_split(self.size)[self.rank]

    @contextmanager
    def own_stream(self) -> Iterator[None]:
        """Let torch's generator inside be this process's own, seeded from the shared stream.

        Samples draw as many numbers as they happen to need; the shared stream must not notice, nor
        how many processes there are.
        """
        if self.size == 1:
            yield
            return
        first = int(torch.randint(2**31 - 1, ()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(first + self.rank)
            yield

    def sum(self, value: Tensor) -> Tensor:
        """Add a tensor of the same shape from every process, in place; returns it.

        Raises:
            ProcessLostError: Another process ended.
        """
        if self.size > 1:
            with _noticing_losses():
                torch_group.all_reduce(value)
        return value

    def combine(self, module: nn.Module, loss: float, terms: int | None) -> float:
        """Turn the gradients of the shares of a step into that of the whole step.

        A mean over all terms is the mean of the processes' means, each weighed by its number of
        terms: with equal weights, the terms of small shares would count for more. One tensor and
        one reduction a step. A parameter without a gradient anywhere keeps none, so that no
        optimizer touches it.

        Args:
            module: Its parameters' gradients are replaced.
            loss: Over this process's share; 0 without terms.
            terms: How many terms `loss` is the mean of; None where it is a sum.

        Returns:
            The loss over all shares.

        Raises:
            ProcessLostError: Another process ended.
        """
        if self.size == 1:
            return loss
        parameters = list(module.parameters())
        weight = 1.0 if terms is None else float(terms)
        gradients = [
            (torch.zeros_like(each) if each.grad is None else each.grad).flatten()
            for each in parameters
        ]
        there = [each.grad is not None for each in parameters]
        sums = torch.cat([*gradients, torch.tensor([loss])]).mul_(weight)
        facts = torch.tensor([*there, weight], dtype=sums.dtype)
        sums, facts = self.sum(torch.cat([sums, facts])).split([len(sums), len(facts)])
        if terms is not None:
            sums /= facts[-1].clamp_min(1)
        sizes = [each.numel() for each in parameters]
        for each, some, count in zip(parameters, sums[:-1].split(sizes), facts, strict=False):
            each.grad = some.view_as(each) if count > 0 else None
        return float(sums[-1])

    def lead(self, work: Callable[[], T]) -> T:
        """What the leader finds, told to all; the others wait and lend it their threads.

        Args:
            work: Called by the leader alone; returns what JSON can hold.

        Raises:
            ProcessLostError: Another process ended.
        """
        if self.size == 1:
            return work()
        found = None
        if self.leads:
            threads = torch.get_num_threads()
            torch.set_num_threads(min(threads * self.local_size, runtime.usable_cores()))
            try:
                found = json.dumps(work()).encode()
            finally:
                torch.set_num_threads(threads)
        data = self._share(None if found is None else torch.tensor(list(found), dtype=torch.uint8))
        result: T = json.loads(bytes(data.tolist()))
        return result

    def share(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """The leader's tensors, to all.

        Args:
            tensors: Any shapes and dtypes; read of the leader alone.

        Raises:
            ProcessLostError: Another process ended.
        """
        given = tensors or {}
        if self.size == 1:
            return dict(given)
        facts = self.lead(
            lambda: [
                (name, list(value.shape), str(value.dtype).removeprefix("torch."))
                for name, value in given.items()
            ]
        )
        found = {}
        for name, shape, dtype in facts:
            empty = torch.empty(shape, dtype=getattr(torch, dtype))
            value = given[name].contiguous() if self.leads else empty
            with _noticing_losses():
                torch_group.broadcast(value, 0)
            found[name] = value
        return found

    def _share(self, value: Tensor | None) -> Tensor:
        """Some bytes (size,) of the leader, whose number the others do not know."""
        size = torch.tensor(0 if value is None else len(value))
        with _noticing_losses():
            torch_group.broadcast(size, 0)
            data = torch.empty(int(size), dtype=torch.uint8) if value is None else value
            torch_group.broadcast(data, 0)
        return data


ALONE = Group()
"""The group of a process that trains by itself."""


def join() -> Group:
    """The group that torchrun started this process for; `ALONE` where it did not.

    Leave the process by `os._exit`: taking torch's group down holds the interpreter's lock, which
    gloo's own thread may be waiting for to free the last tensor.

    Raises:
        ProcessLostError: Another process ended before all had met.
    """
    if not torch_group.is_torchelastic_launched():
        return ALONE
    with _noticing_losses():
        torch_group.init_process_group("gloo", timeout=PATIENCE)
    return member()


def member() -> Group:
    """The group of torch's process group, which somebody has initialised."""
    size = torch_group.get_world_size()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return Group(torch_group.get_rank(), size, local)


@contextmanager
def _noticing_losses() -> Iterator[None]:
    """A collective fails where a connection is closed."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError(
            "Another process of this training ended before its time.",
            "Run the same command again: it resumes from the last checkpoint.",
        ) from error
