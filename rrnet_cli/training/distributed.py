"""Training on a partitioned graph: one trainer a part, all of them on every step.

A step's seeds are dealt to the trainers; each draws what surrounds its own from DGL's servers, and
the gradients are combined to those of the loss over all seeds of the step. Trainer 0
leads: it has the ordinary graph, from which it makes what an epoch shows (targets, masks, priors
refitted, votes) exactly as on one machine, gives it to the servers, takes the select metrics and
writes the checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as torch_group
from dgl.distributed import DistGraph, DistTensor
from torch import Tensor

from rrnet_cli.models.rrnet import INTER, LEFT
from rrnet_cli.training import checkpoints
from rrnet_cli.training.dgl_names import keep_tensors
from rrnet_cli.training.draws import Draws
from rrnet_cli.training.loop import BEST, Progress, checkpoint, evaluate, require_finite, restore
from rrnet_cli.training.network import Network
from rrnet_cli.training.problem import Problem
from rrnet_cli.training.processes import Group
from rrnet_cli.training.trainer import Plan, Trainer

if TYPE_CHECKING:
    from rrnet_cli.settings import TrainSettings

_LEARNED = "learned/"
Told = Callable[[int, str], None]
"""Hears how many more epochs are done, and how the last one went."""


class Leader:
    """What trainer 0 does besides: it has the problem as on one machine.

    Args:
        problem: The ordinary graph.
        node: (num_nodes,) number within the parts of each node, by side.
        edge: Likewise of inter-edges.
    """

    def __init__(
        self,
        problem: Problem,
        settings: TrainSettings,
        engine: str,
        moments: Mapping[str, tuple[Tensor, Tensor]],
        sides: Mapping[str, str],
        node: Mapping[str, Tensor],
        edge: Tensor,
    ) -> None:
        self.problem, self.settings, self.node, self.edge = problem, settings, node, edge
        torch.manual_seed(settings.seed)
        self.network = Network(problem, settings, engine)
        self.plan = Plan(
            problem.shape(settings),
            settings.prior == "residual",
            sides,
            moments,
            bool(len(self.network.attributes)),
            problem.is_rating,
            settings.messages == "all",
        )
        self.draws, self.progress = Draws(problem, settings), Progress()

    def begin(self, trainer: Trainer) -> None:
        """Give the servers what the parts do not hold."""
        self.trainer = trainer
        self.network.rrnet = trainer.rrnet
        for side, numbers in self.node.items():
            if side not in self.plan.moments:
                _push(trainer.attributes[side], numbers, self.problem.node_feat[side][:])

    def seeds(self, epoch: int) -> Tensor:
        """Show an epoch to the servers; its seeds in random order, numbered as in the parts."""
        drawn, problem = self.draws.of(epoch), self.problem
        inputs = self.network.inputs(problem, drawn.known, drawn.prior)
        columns = [problem.target, drawn.supervised.float()]
        if (heard := problem.heard(self.settings, drawn.known)) is not None:
            columns.insert(0, heard.float())
        if inputs.offset is not None:
            columns.insert(0, inputs.offset)
        table = torch.stack(columns, dim=1)
        if INTER in inputs.edge_inputs:
            table = torch.cat([inputs.edge_inputs[INTER], table], dim=1)
        _push(self.trainer.columns, self.edge, table)
        seeds = self.node[LEFT][problem.owner[drawn.supervised].unique()]
        return seeds[torch.randperm(len(seeds))]

    def judge(self, loss: float | None) -> Mapping[str, float]:
        """Select metrics on the whole graph; into the history. `loss` is None before training."""
        for side in self.network.attributes:
            learned = self.trainer.attributes[side].weight[self.node[side]]
            self.network.attributes[side].data.copy_(learned)
        metrics = evaluate(self.network, self.problem)
        self.progress.epochs += loss is not None
        for name, value in metrics.items():
            require_finite(name, value, self.progress.epochs, self.settings)
        row = {"epoch": self.progress.epochs, "loss": loss, **metrics}
        self.progress.record(row, self.network)
        return metrics

    def keep(self, workspace: Path) -> None:
        """Write a checkpoint; rows of learned attributes are in the order of the graph."""
        rows = {
            f"{_LEARNED}{side}/{number}": tensor[self.node[side]]
            for side, tensors in self.trainer.learned().items()
            for number, tensor in enumerate(tensors)
        }
        checkpoint(workspace, self.trainer, self.trainer.optimizer, self.progress, rows)

    def give_back(self, tensors: Mapping[str, Tensor]) -> None:
        """Give the servers the learned attributes of a checkpoint."""
        for side, targets in self.trainer.learned().items():
            for number, target in enumerate(targets):
                _push(target, self.node[side], tensors[f"{_LEARNED}{side}/{number}"])


def fit(
    graph: DistGraph,
    edge: Tensor,
    leader: Leader | None,
    settings: TrainSettings,
    engine: str,
    *,
    group: Group,
    workspace: Path | None,
    resume: bool,
    told: Told,
) -> None:
    """Train with the other members of the group, whose ranks are the parts.

    The best weights and the history are in `leader.progress` afterwards.

    Args:
        graph: All servers.
        edge: See `Neighbours`.
        leader: Of rank 0 alone.
        settings: Of the stage, with a batch size.
        engine: One of `engines.NAMES`.
        group: All trainers.
        workspace: Of rank 0: folder for a checkpoint each epoch.
        resume: Go on from the newest checkpoint. What servers draw is not repeated: the result is
            that of another seed, not the same to the bit.
        told: Called by rank 0.

    Raises:
        DivergedError: The loss became NaN or infinite; the last checkpoint stays.
        ProcessLostError: Another trainer ended; likewise.
    """
    box = [leader.plan if leader is not None else None]
    torch_group.broadcast_object_list(box)
    plan = box[0]
    assert plan is not None
    trainer = Trainer(graph, edge, plan, settings, engine, group)
    torch_group.barrier()
    if leader is not None:
        leader.begin(trainer)
    if _resumed(workspace if resume else None, trainer, leader):
        if leader is not None:
            told(leader.progress.epochs, "resumed")
    else:
        if workspace is not None:
            checkpoints.clear(workspace)
        trainer.load_state_dict(group.share(trainer.state_dict()))
        _judge(leader, None, group)
    assert settings.batch_size is not None
    while True:
        shown = None
        if leader is not None:
            is_over = leader.progress.is_exhausted(settings)
            epoch = leader.progress.epochs + 1
            seeds = torch.empty(0, dtype=torch.int64) if is_over else leader.seeds(epoch)
            shown = {"epoch": torch.tensor(epoch), "seeds": seeds}
        told_by_leader = group.share(shown)
        seeds, epoch = told_by_leader["seeds"], int(told_by_leader["epoch"])
        if not len(seeds):
            keep_tensors()
            return
        losses = [trainer.step(some, epoch) for some in seeds.split(settings.batch_size)]
        loss = sum(losses) / len(losses)
        metrics = _judge(leader, loss, group)
        if leader is not None:
            if workspace is not None:
                leader.keep(workspace)
            values = {"loss": loss, **metrics}
            told(1, " ".join(f"{name} {value:.4g}" for name, value in values.items()))


def _judge(leader: Leader | None, loss: float | None, group: Group) -> Mapping[str, float]:
    """The leader judges, and the others of its machine lend it their threads."""
    return group.lead(lambda: {} if leader is None else leader.judge(loss))


def _resumed(workspace: Path | None, trainer: Trainer, leader: Leader | None) -> bool:
    """Whether there was a checkpoint, where all trainers now stand."""
    group = trainer.group
    found = checkpoints.load(workspace) if workspace is not None else None
    meta = group.lead(lambda: None if found is None else found[1])
    if meta is None:
        return False
    shared = None
    if found is not None:  # attributes may be too many for every trainer
        own = (BEST, _LEARNED)
        shared = {name: value for name, value in found[0].items() if not name.startswith(own)}
    shared = group.share(shared)
    progress = Progress() if leader is None else leader.progress
    restore(shared if found is None else found[0], meta, trainer, trainer.optimizer, progress)
    if leader is not None and found is not None:
        leader.give_back(found[0])
    torch_group.barrier()
    return True


def _push(target: DistTensor, ids: Tensor, rows: Tensor) -> None:
    """Write rows, and wait until every server has them: writing itself is not answered."""
    target[ids] = rows
    policy = target.part_policy.partition_book
    parts = target.part_policy.to_partid(ids)
    firsts = [ids[parts == part][:1] for part in range(policy.num_partitions())]
    target[torch.cat(firsts)]  # a server answers in the order of what it is asked
