"""The network as it is trained: RR-Net and, for users and items, their learned attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from rrnet_cli.models import engines
from rrnet_cli.models.inference import logits_in_blocks
from rrnet_cli.models.rows import StoredRows
from rrnet_cli.models.rrnet import GraphInputs, RRNet, Shape
from rrnet_cli.training.problem import Problem

if TYPE_CHECKING:
    from rrnet_cli.models.engines.base import Engine
    from rrnet_cli.settings import TrainSettings


LARGE = 10_000_000
"""Edges above which a forward pass would hold gigabytes: 64 bytes an edge and state at width 16."""
LARGE_FEATURES = 100_000_000
"""Numbers of raw attributes above which those of sampled training are not read all at once."""


class Learner(nn.Module):
    """What a step trains: an RR-Net, perhaps with more, and the settings that say how."""

    rrnet: RRNet
    settings: TrainSettings


class Network(Learner):
    """RR-Net on one problem.

    Attributes of users and items are drawn from U[0, 1) and learned with the rest (Sec. IV-C3),
    unless `attributes` is ``degree``; features of sounds, pictures and words are not trained.

    `engine` is one of `engines.NAMES`: how edge layers are computed, which is no setting.
    """

    def __init__(self, problem: Problem, settings: TrainSettings, engine: str = "auto") -> None:
        super().__init__()
        self.settings = settings
        self.attributes = nn.ParameterDict(
            {side: nn.Parameter(value[:].clone()) for side, value in problem.node_feat.items()}
            if problem.is_rating and settings.attributes == "learned"
            else {}
        )
        self.rrnet = build(problem.shape(settings), settings, engine_of(settings, engine))

    def forward(self, problem: Problem, known: Tensor, prior: Tensor) -> Tensor:
        """Logits (num_inter_edges,) with the targets of `known` edges and their prior shown."""
        logits: Tensor = self.rrnet(self.inputs(problem, known, prior))
        return logits

    def inputs(self, problem: Problem, known: Tensor, prior: Tensor) -> GraphInputs:
        """What RR-Net reads then; see `Problem.inputs`."""
        node_feat = dict(self.attributes) if len(self.attributes) else problem.node_feat
        return problem.inputs(self.settings, known, node_feat, prior)

    @torch.no_grad()
    def predict(self, problem: Problem) -> Tensor:
        """Logits (num_inter_edges,) at rest: all fitted targets shown if context is.

        The states of the edges of a large graph are not held all at once.
        """
        if self.is_large(problem):
            return logits_in_blocks(self.rrnet, self._at_rest(problem))
        return self.logits_at_rest(problem)

    def logits_at_rest(self, problem: Problem) -> Tensor:
        """What `predict` answers, with its gradient."""
        logits: Tensor = self.rrnet(self._at_rest(problem))
        return logits

    def is_large(self, problem: Problem) -> bool:
        """Whether a forward pass over all of the graph would not fit."""
        edges = sum(relation.num_edges for relation in problem.relations.values())
        stored = [feat for feat in problem.node_feat.values() if isinstance(feat, StoredRows)]
        return edges > LARGE or sum(feat.shape.numel() for feat in stored) > LARGE_FEATURES

    def _at_rest(self, problem: Problem) -> GraphInputs:
        return self.inputs(problem, problem.shown_at_rest(self.settings), problem.prior)


def engine_of(settings: TrainSettings, name: str) -> Engine:
    """The engine of a name, which keeps edge attributes as the settings ask."""
    return engines.choose(name, torch.bfloat16 if settings.storage == "bfloat16" else None)


def build(shape: Shape, settings: TrainSettings, engine: Engine) -> RRNet:
    """The RR-Net that the settings ask for."""
    return RRNet(
        shape,
        settings.units,
        settings.hidden,
        init=settings.init,
        zero_decoder=settings.prior == "residual",
        engine=engine,
    )
