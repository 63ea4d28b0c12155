"""Training on a partitioned graph: one trainer a part, all of them on every step.

A step's seeds are dealt to the trainers; each draws what surrounds its own from DGL's servers, and
the gradients are added so that they are those of the loss over all seeds of the step. Trainer 0
leads: it has the ordinary graph, from which it makes what an epoch shows (targets, masks, priors
refitted, votes) exactly as on one machine, gives it to the servers, and takes the select metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dgl
import torch
import torch.distributed as group
from dgl.distributed import DistEmbedding, DistGraph, DistTensor
from torch import Tensor

from rrnet_cli.graphs.parts import FEATURES
from rrnet_cli.models import engines
from rrnet_cli.models.rrnet import INTER, LEFT, RIGHT, GraphInputs, RRNet, Shape
from rrnet_cli.training.draws import Draws
from rrnet_cli.training.loop import Progress, evaluate, make_optimizer, require_finite
from rrnet_cli.training.network import Network, build
from rrnet_cli.training.objectives import num_supervised, training_loss
from rrnet_cli.training.problem import Problem, by_owner
from rrnet_cli.training.sampling import Batch, surroundings
from rrnet_cli.training.served import Neighbours, keep_tensors

if TYPE_CHECKING:
    from rrnet_cli.settings import TrainSettings

COLUMN = "attribute"
Told = Callable[[float, Mapping[str, float]], None]
"""Hears the loss of an epoch and the select metrics after it."""


@dataclass(frozen=True)
class Plan:
    """What the leader tells the other trainers before the first step.

    Attributes:
        shape: Of the network.
        has_offset: Whether the decoder's logits have an offset.
        sides: Node types of `left` and `right`.
        moments: Of each side whose attributes are the features in the parts: mean and standard
            deviation of each column (width,).
        learned: Whether attributes are learned, from these features on.
        is_rating: Whether there are ratings, so no candidates.
    """

    shape: Shape
    has_offset: bool
    sides: Mapping[str, str]
    moments: Mapping[str, tuple[Tensor, Tensor]]
    learned: bool
    is_rating: bool

    @property
    def width(self) -> int:
        """Columns that an epoch gives an inter-edge: inputs, offset, target, supervised."""
        return self.shape.extra.get(INTER, 0) + int(self.has_offset) + 2


class Trainer:
    """One trainer's network, and its part in every step.

    Args:
        graph: All servers.
        edge: See `Neighbours`.
        plan: From the leader.
        settings: Of the stage, with a batch size.
        engine: One of `engines.NAMES`.
    """

    def __init__(
        self,
        graph: DistGraph,
        edge: Tensor,
        plan: Plan,
        settings: TrainSettings,
        engine: str,
    ) -> None:
        self.graph, self.plan, self.settings = graph, plan, settings
        left, right = plan.sides[LEFT], plan.sides[RIGHT]
        kinds = {
            LEFT: (left, "intra", left),
            RIGHT: (right, "intra", right),
            INTER: (left, "inter", right),
        }
        self.names = tuple(name for name in kinds if name in plan.shape.relations)
        self.neighbours = Neighbours(graph, kinds, edge)
        torch.manual_seed(settings.seed)
        self.rrnet: RRNet = build(plan.shape, settings, engines.choose(engine))
        self.optimizer = make_optimizer(self.rrnet, settings)
        self.columns = DistTensor(
            (graph.num_edges(kinds[INTER]), plan.width),
            torch.float32,
            "epoch",
            init_func=_zeros,
            part_policy=graph.get_edge_partition_policy(kinds[INTER]),
        )
        self.attributes = {side: self._attributes(side) for side in plan.sides}
        if plan.learned:
            learned = list(self.attributes.values())
            self.sparse = dgl.distributed.optim.SparseAdam(learned, lr=settings.lr)

    def _attributes(self, side: str) -> Any:
        """Where the attributes of a side come from: rows of nodes in the parts."""
        kind, width = self.plan.sides[side], self.plan.shape.widths[side]
        size, policy = self.graph.num_nodes(kind), self.graph.get_node_partition_policy(kind)
        if side not in self.plan.moments:
            return DistTensor((size, width), torch.float32, COLUMN, _zeros, policy)
        served = self.graph.nodes[kind].data[FEATURES]
        if not self.plan.learned:
            return served
        embedding = DistEmbedding(size, width, f"{COLUMN}-{side}", _zeros, policy)
        mean, spread = self.plan.moments[side]
        embedding.weight.local_partition.copy_((served.local_partition - mean) / spread)
        return embedding

    def step(self, seeds: Tensor, epoch: int) -> float:
        """One step of all trainers.

        Args:
            seeds: (num_seeds,) left nodes of the whole step, the same for every trainer.
            epoch: For messages.

        Returns:
            The loss over all seeds.

        Raises:
            DivergedError: It is not finite; the weights are left as they were.
        """
        rank, settings = group.get_rank(), self.settings
        # Numbers within the parts ascend from part to part: most seeds go to where they are.
        own = seeds.sort().values.tensor_split(group.get_world_size())[rank]
        batch = self._batch(own)
        count = num_supervised(batch, settings.objective)
        share = float(count > 0)
        if settings.objective == "softmax" or settings.reduction == "mean":
            share = count / max(1, int(_sum(torch.tensor(count))))
        self.rrnet.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros(())
        if count:
            logits = self.rrnet(batch.inputs)
            loss = share * training_loss(batch, logits, settings.objective, settings.reduction)
            loss.backward()
        value = float(_sum(loss.detach().clone()))
        require_finite("training loss", value, epoch, settings)
        _sum_gradients(self.rrnet)
        if settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.rrnet.parameters(), settings.clip_norm)
        self.optimizer.step()
        if self.plan.learned:
            if not count:
                for embedding in self.attributes.values():
                    embedding.reset_trace()
            self.sparse.step()
        return value

    def _batch(self, seeds: Tensor) -> Batch:
        """What surrounds some left nodes, pulled from the servers."""
        part = surroundings(self.neighbours.draw, self.names, seeds, self.settings.fanout)
        relation = part.relations[INTER].forward
        owner = part.nodes[LEFT][relation.edges(order="eid")[0]]
        columns = self.columns[part.edges[INTER]]
        extra = self.plan.shape.extra.get(INTER, 0)
        of_seeds = torch.isin(owner, seeds)
        places = of_seeds.nonzero().squeeze(1)
        candidates = None
        if not self.plan.is_rating and len(seeds):
            candidates = places[by_owner(owner[places], len(seeds))]
        inputs = GraphInputs(
            part.relations,
            {side: self._pull(side, ids) for side, ids in part.nodes.items()},
            {INTER: columns[:, :extra].contiguous()} if extra else {},
            columns[:, extra] if self.plan.has_offset else None,
        )
        return Batch(inputs, columns[:, -2], (columns[:, -1] > 0) & of_seeds, candidates)

    def _pull(self, side: str, ids: Tensor) -> Tensor:
        source = self.attributes[side]
        if self.plan.learned:
            return source(ids)
        rows: Tensor = source[ids]
        if side not in self.plan.moments:
            return rows
        mean, spread = self.plan.moments[side]
        return (rows - mean) / spread


class Leader:
    """What trainer 0 does besides: it has the problem as on one machine.

    Args:
        problem: The ordinary graph.
        plan_of: Makes the plan, given the network's inputs.
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
        known = problem.shown_at_rest(settings)
        inputs = self.network.inputs(problem, known, problem.prior)
        self.plan = Plan(
            Shape.of(inputs),
            inputs.offset is not None,
            sides,
            moments,
            bool(len(self.network.attributes)),
            problem.is_rating,
        )
        self.draws, self.progress = Draws(problem, settings), Progress()

    def begin(self, trainer: Trainer) -> None:
        """Give the servers what the parts do not hold, and judge the untrained network."""
        self.trainer = trainer
        for side, numbers in self.node.items():
            if side not in self.plan.moments:
                _push(trainer.attributes[side], numbers, self.problem.node_feat[side])
        self.judge(None)

    def seeds(self, epoch: int) -> Tensor:
        """Show an epoch to the servers; its seeds in random order, numbered as in the parts."""
        drawn, problem = self.draws.of(epoch), self.problem
        inputs = self.network.inputs(problem, drawn.known, drawn.prior)
        columns = [problem.target, drawn.supervised.float()]
        if inputs.offset is not None:
            columns.insert(0, inputs.offset)
        table = torch.stack(columns, dim=1)
        if INTER in inputs.edge_inputs:
            table = torch.cat([inputs.edge_inputs[INTER], table], dim=1)
        _push(self.trainer.columns, self.edge, table)
        seeds = self.node[LEFT][problem.owner[drawn.supervised].unique()]
        return seeds[torch.randperm(len(seeds))]

    def judge(self, loss: float | None) -> Mapping[str, float]:
        """Select metrics on the whole graph; into the history."""
        self.network.rrnet.load_state_dict(self.trainer.rrnet.state_dict())
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


def fit(
    graph: DistGraph,
    edge: Tensor,
    leader: Leader | None,
    settings: TrainSettings,
    engine: str,
    told: Told,
) -> None:
    """Train with the other members of torch's process group, whose ranks are the parts.

    The best weights and the history are in `leader.progress` afterwards.

    Args:
        graph: All servers.
        edge: See `Neighbours`.
        leader: Of rank 0 alone.
        settings: Of the stage, with a batch size.
        engine: One of `engines.NAMES`.
        told: Called after each epoch by rank 0.

    Raises:
        DivergedError: The loss became NaN or infinite.
    """
    box = [leader.plan if leader is not None else None]
    group.broadcast_object_list(box)
    plan = box[0]
    assert plan is not None
    trainer = Trainer(graph, edge, plan, settings, engine)
    group.barrier()
    if leader is not None:
        leader.begin(trainer)
    while True:
        seeds = torch.empty(0, dtype=torch.int64)
        if leader is not None and not leader.progress.is_exhausted(settings):
            seeds = leader.seeds(leader.progress.epochs + 1)
        seeds = _broadcast(seeds)
        if not len(seeds):
            keep_tensors()
            return
        epoch = leader.progress.epochs + 1 if leader is not None else 0
        assert settings.batch_size is not None
        losses = [trainer.step(some, epoch) for some in seeds.split(settings.batch_size)]
        if leader is not None:
            loss = sum(losses) / len(losses)
            told(loss, leader.judge(loss))


def _zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.zeros(shape, dtype=dtype)


def _push(target: DistTensor, ids: Tensor, rows: Tensor) -> None:
    """Write rows, and wait until every server has them: writing itself is not answered."""
    target[ids] = rows
    policy = target.part_policy.partition_book
    parts = target.part_policy.to_partid(ids)
    firsts = [ids[parts == part][:1] for part in range(policy.num_partitions())]
    target[torch.cat(firsts)]  # a server answers in the order of what it is asked


def _sum(value: Tensor) -> Tensor:
    group.all_reduce(value)
    return value


def _sum_gradients(network: torch.nn.Module) -> None:
    """Add the gradients of all trainers; that of a parameter without one is zero."""
    parameters = list(network.parameters())
    flat = torch.cat(
        [(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters]
    )
    _sum(flat)
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, some in zip(parameters, flat.split(sizes), strict=True):
        parameter.grad = some.view_as(parameter)


def _broadcast(ids: Tensor) -> Tensor:
    """Some numbers of rank 0, to all."""
    size = torch.tensor(len(ids))
    group.broadcast(size, 0)
    if group.get_rank() != 0:
        ids = torch.empty(int(size), dtype=torch.int64)
    group.broadcast(ids, 0)
    return ids
