"""What every trainer of a partitioned graph does: its share of each step, from DGL's servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dgl
import torch
from dgl.distributed import DistEmbedding, DistGraph, DistTensor
from torch import Tensor

from rrnet_cli.graphs.parts import FEATURES
from rrnet_cli.models.rrnet import INTER, LEFT, RIGHT, GraphInputs, Shape
from rrnet_cli.training.dgl_names import adam_state
from rrnet_cli.training.loop import make_optimizer, step
from rrnet_cli.training.network import Learner, build, engine_of
from rrnet_cli.training.processes import Group
from rrnet_cli.training.sampling import Batch, surroundings
from rrnet_cli.training.served import Neighbours

if TYPE_CHECKING:
    from rrnet_cli.settings import TrainSettings

_COLUMN = "attribute"


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
        hears_all: Whether means are of all inter-edges.
    """

    shape: Shape
    has_offset: bool
    sides: Mapping[str, str]
    moments: Mapping[str, tuple[Tensor, Tensor]]
    learned: bool
    is_rating: bool
    hears_all: bool

    @property
    def width(self) -> int:
        """Columns that an epoch gives an inter-edge: inputs, offset, heard, target, supervised."""
        more = int(self.has_offset) + int(not self.hears_all) + 2
        return self.shape.extra.get(INTER, 0) + more


class Trainer(Learner):
    """One trainer's network, and its part in every step.

    Args:
        graph: All servers.
        edge: See `Neighbours`.
        plan: From the leader.
        settings: Of the stage, with a batch size.
        engine: One of `engines.NAMES`.
        group: All trainers.
    """

    def __init__(
        self,
        graph: DistGraph,
        edge: Tensor,
        plan: Plan,
        settings: TrainSettings,
        engine: str,
        group: Group,
    ) -> None:
        super().__init__()
        self.graph, self.plan, self.settings, self.group = graph, plan, settings, group
        left, right = plan.sides[LEFT], plan.sides[RIGHT]
        kinds = {
            LEFT: (left, "intra", left),
            RIGHT: (right, "intra", right),
            INTER: (left, "inter", right),
        }
        self.names = tuple(name for name in kinds if name in plan.shape.relations)
        self.neighbours = Neighbours(graph, kinds, edge)
        torch.manual_seed(settings.seed)
        self.rrnet = build(plan.shape, settings, engine_of(settings, engine))
        self.optimizer = make_optimizer(self, settings)
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
            return DistTensor((size, width), torch.float32, _COLUMN, _zeros, policy)
        served = self.graph.nodes[kind].data[FEATURES]
        if not self.plan.learned:
            return served
        embedding = DistEmbedding(size, width, f"{_COLUMN}-{side}", _zeros, policy)
        mean, spread = self.plan.moments[side]
        embedding.weight.local_partition.copy_((served.local_partition - mean) / spread)
        return embedding

    def learned(self) -> dict[str, tuple[DistTensor, ...]]:
        """Of each side whose attributes are learned: these, and what Adam keeps of them."""
        if not self.plan.learned:
            return {}
        return {
            side: (embedding.weight, *adam_state(self.sparse, embedding))
            for side, embedding in self.attributes.items()
        }

    def step(self, seeds: Tensor, epoch: int) -> float:
        """One step of all trainers.

        Args:
            seeds: (num_seeds,) left nodes of the whole step, the same for every trainer.
            epoch: For messages.

        Returns:
            The loss over all seeds.

        Raises:
            DivergedError: It is not finite; the weights are left as they were.
            ProcessLostError: Another trainer ended.
        """
        # Numbers within the parts ascend from part to part: most seeds go to where they are.
        batch = self._batch(self.group.own(seeds.sort().values))
        value = step(self, batch, self.optimizer, epoch, self.group)
        if self.plan.learned:
            if not batch.supervised.any():  # no backward pass, so no gradient
                for embedding in self.attributes.values():
                    embedding.reset_trace()
            self.sparse.step()  # ends with a barrier: then all rows are written
        return value

    def _batch(self, seeds: Tensor) -> Batch:
        """What surrounds some left nodes, pulled from the servers."""
        part = surroundings(
            self.neighbours.draw,
            self.names,
            {side: self.graph.num_nodes(kind) for side, kind in self.plan.sides.items()},
            seeds,
            self.settings.fanout,
            self.settings.units,
            None if self.plan.hears_all else self._heard,
        )
        columns = self.columns[part.edges[INTER]]
        asked = columns[: part.num_asked]
        extra = self.plan.shape.extra.get(INTER, 0)
        candidates = None
        if not self.plan.is_rating and len(seeds):
            owner = part.relations[INTER].sources[: part.num_asked]
            candidates = owner.argsort(stable=True).view(len(seeds), -1)
        inputs = GraphInputs(
            part.relations,
            {side: self._pull(side, ids) for side, ids in part.nodes.items()},
            {INTER: columns[:, :extra].contiguous()} if extra else {},
            asked[:, extra] if self.plan.has_offset else None,
            part.units,
        )
        return Batch(inputs, asked[:, -2], asked[:, -1] > 0, candidates)

    def _heard(self, ids: Tensor) -> Tensor:
        heard: Tensor = self.columns[ids][:, -3] > 0
        return heard

    def _pull(self, side: str, ids: Tensor) -> Tensor:
        source = self.attributes[side]
        rows: Tensor = source(ids) if self.plan.learned else source[ids]
        if self.plan.learned or side not in self.plan.moments:
            return rows
        mean, spread = self.plan.moments[side]
        return (rows - mean) / spread


def _zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.zeros(shape, dtype=dtype)
