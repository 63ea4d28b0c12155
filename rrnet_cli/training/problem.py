"""From graph and features to what a training step reads: inputs, targets, who supervises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rrnet_cli.datasets.base import FIT, HOLD
from rrnet_cli.models.relation import Relation
from rrnet_cli.models.rows import TINY, StoredRows
from rrnet_cli.models.rrnet import INTER, LEFT, RIGHT, GraphInputs, Shape
from rrnet_cli.training.votes import neighbour_votes

if TYPE_CHECKING:
    import dgl

    from rrnet_cli.settings import TrainSettings

Refit = Callable[[NDArray[np.bool_]], NDArray[np.float64]]

PRIOR_MARGIN = 0.01
"""A prior rating enters as a logit of [margin, 1 - margin], so that no pair starts at infinity."""


@dataclass(frozen=True)
class Problem:
    """One mapping problem, ready to train on; everything on one device.

    Attributes:
        relations: See `GraphInputs`.
        node_feat: Raw attributes of `left` and `right`, normalised as the settings ask; in
            memory, or `StoredRows` for sampled training.
        edge_weight: (num_edges, 1) similarity of each intra relation.
        prior: (num_inter_edges,) logit that the baseline gives each inter-edge; under
            `log_prior` a log-probability over the labels, else the logit of a scaled rating.
        target: (num_inter_edges,) in [0, 1]; 0 where unknown, never read there.
        role: (num_inter_edges,) int8; HOLD supervises where there is any, else FIT; SELECT
            chooses; nothing else is read.
        owner: (num_inter_edges,) left node of each inter-edge.
        candidates: (num_left, num_candidates) inter-edges of each left node, in the order of
            their right nodes (classification); None for ratings.
        scale: Lowest and highest rating; None for classification.
        refit: Gives the prior, as `prior`, that the baseline would give were it fitted on the known
            edges (bool, (num_inter_edges,)) alone; None where that is out of reach.
        views: (num_inter_edges,) log-probability that the baseline gives over several views of an
            instance; None where it has seen one.
    """

    relations: Mapping[str, Relation]
    node_feat: Mapping[str, Tensor | StoredRows]
    edge_weight: Mapping[str, Tensor]
    prior: Tensor
    target: Tensor
    role: Tensor
    owner: Tensor
    candidates: Tensor | None
    scale: tuple[float, float] | None
    refit: Callable[[Tensor], Tensor] | None = None
    views: Tensor | None = None

    @property
    def is_rating(self) -> bool:
        """Whether targets are ratings (and node attributes are learned)."""
        return self.scale is not None

    def inputs(
        self,
        settings: TrainSettings,
        known: Tensor,
        node_feat: Mapping[str, Tensor | StoredRows],
        prior: Tensor,
    ) -> GraphInputs:
        """What the network reads when the targets of `known` edges are shown to it.

        Args:
            settings: Decide which of prior, views and context are inputs.
            known: (num_inter_edges,) bool; must be False wherever an edge is supervised.
            node_feat: `self.node_feat`, or the learned attributes that replace it.
            prior: (num_inter_edges,) that goes with the shown targets: `self.prior` at rest.
        """
        columns = self._columns(settings, known, prior)
        extra: dict[str, Tensor] = {}
        if columns:
            # Filled in place: joined ones would be there twice.
            extra[INTER] = table = prior.new_empty(len(prior), len(columns))
            for number, column in enumerate(columns):
                table[:, number] = column()
        views = None if settings.views in ("none", "input") else self.views
        start = prior if views is None else views
        offset = start if settings.prior == "residual" else None
        relations = dict(self.relations)
        if (heard := self.heard(settings, known)) is not None:
            relations[INTER] = relations[INTER].counting(heard)
        return GraphInputs(relations, node_feat, extra, offset)

    def heard(self, settings: TrainSettings, known: Tensor) -> Tensor | None:
        """The inter-edges that the means of nodes are of, (num_inter_edges,) bool; None for all.

        That somebody rated a pair says something of the rating. In a graph of the rated pairs that
        would be told of those that are judged, which no peer is told of.
        """
        if settings.messages == "all":
            return None
        return known if settings.context else (self.role == FIT) | (self.role == HOLD)

    def shape(self, settings: TrainSettings) -> Shape:
        """That of `inputs`, which are not made for it."""
        width = len(self._columns(settings, self.prior, self.prior))  # none is made
        return Shape(
            {side: feat.shape[1] for side, feat in self.node_feat.items()},
            tuple(sorted(self.relations)),
            {INTER: width} if width else {},
        )

    def _columns(
        self, settings: TrainSettings, known: Tensor, prior: Tensor
    ) -> list[Callable[[], Tensor]]:
        """What makes each extra raw attribute of the inter-edges, (num_inter_edges,)."""
        columns: list[Callable[[], Tensor]] = []
        views = None if settings.views == "none" else self.views
        if settings.prior != "none":
            columns.append(lambda: standardise(prior))
        if views is not None:
            columns.append(lambda: standardise(views))
        if settings.context:
            columns += [known.float, lambda: known * self._shown(prior)]
            if settings.votes and not self.is_rating and LEFT in self.relations:
                columns.append(lambda: self.votes(known))
        return columns

    def _shown(self, prior: Tensor) -> Tensor:
        """What is shown of known targets: of a rating what the prior does not say."""
        return self.target - prior.sigmoid() if self.is_rating else self.target

    def votes(self, known: Tensor) -> Tensor:
        """What shown neighbours say of each inter-edge, (num_inter_edges,): `neighbour_votes`."""
        assert self.candidates is not None, "ratings have none"
        _, label = self.relations[INTER].ends(0, len(self.target))
        return neighbour_votes(
            self.relations[LEFT],
            self.edge_weight[LEFT],
            self.candidates,
            label,
            known,
            self.target,
        )

    def shown_at_rest(self, settings: TrainSettings) -> Tensor:
        """Known edges outside training: all fitted ones where the context is used, else none."""
        return (self.role == FIT) & settings.context

    @property
    def num_left(self) -> int:
        """Number of left nodes."""
        return int(self.node_feat[LEFT].shape[0])


def standardise(columns: Tensor) -> Tensor:
    """Zero mean and unit variance a column; constant columns become zero.

    Shapes:
        (rows, width) -> (rows, width).
    """
    mean, spread = moments(columns)
    return (columns - mean) / spread


def moments(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation a column; that of a constant column is infinite.

    Shapes:
        (rows, width) -> (width,), (width,).
    """
    mean = columns.mean(dim=0)
    spread = (columns - mean).square().mean(dim=0).sqrt()
    return mean, torch.where(spread > TINY, spread, torch.inf)


def assemble(
    graph: dgl.DGLGraph,
    sides: tuple[str, str],
    features: Mapping[str, Tensor],
    scale: tuple[float, float] | None,
    normalise: str,
    refit: Refit | None = None,
    log_views: Tensor | None = None,
    stored: bool = False,
) -> Problem:
    """Prepare one heterograph.

    Args:
        graph: With edge data `weight`, and on inter-edges `prior`, `target`, `role`.
        sides: Node type names of the left and the right modality.
        features: Raw attributes by node type.
        scale: Rating scale, or None for classification.
        normalise: `standard` (each column over all nodes of the type: no label is involved) or
            `none`.
        refit: The prior of all inter-edges by a baseline fitted on the known ones, both
            (num_inter_edges,), as numpy arrays: raw ratings, or log-probabilities.
        log_views: (num_left, num_right) log-probabilities over several views, or None.
        stored: Leave the features where they are, which may be on disk, until they are read.
    """
    ends = {LEFT: sides[0], RIGHT: sides[1]}
    inter_type = (sides[0], "inter", sides[1])
    relations = {INTER: _bare(graph, inter_type)}
    weights = {}
    for side, node_type in ends.items():
        intra_type = (node_type, "intra", node_type)
        if intra_type in graph.canonical_etypes and graph.num_edges(intra_type) > 0:
            relations[side] = _bare(graph, intra_type)
            weights[side] = graph.edges[intra_type].data["weight"].unsqueeze(1)
    node_feat = {
        side: _attributes(features[name], normalise, stored) for side, name in ends.items()
    }
    data = graph.edges[inter_type].data
    target, prior = data["target"].nan_to_num(0.0), data["prior"]
    if scale is not None:
        low, high = scale
        target = ((target - low) / (high - low)).clamp(0.0, 1.0)
        prior = rating_logit(prior, scale)
    return Problem(
        relations=relations,
        node_feat=node_feat,
        edge_weight=weights,
        prior=prior.float(),
        target=target,
        role=data["role"],
        owner=relations[INTER].sources,
        candidates=None if scale is not None else by_owner(relations[INTER]),
        scale=scale,
        refit=None if refit is None else lambda known: _logit(refit(known.numpy()), scale),
        views=None if log_views is None else log_views[relations[INTER].ends(0, len(target))],
    )


def _bare(graph: dgl.DGLGraph, edge_type: tuple[str, str, str]) -> Relation:
    """One edge type without its data, which would stay in memory with it."""
    edges = graph[edge_type].local_var()
    edges.edata.clear()
    return Relation.of(edges)


def _attributes(raw: Tensor, normalise: str, stored: bool) -> Tensor | StoredRows:
    """Raw attributes of a side as `Problem.node_feat` has them."""
    if stored:
        return StoredRows.standardised(raw) if normalise == "standard" else StoredRows.plain(raw)
    return standardise(raw.float()) if normalise == "standard" else raw.float()


def degrees(graph: dgl.DGLGraph, sides: tuple[str, str]) -> dict[str, Tensor]:
    """log(1 + number of fitted inter-edges) of every node: attributes without a free parameter.

    Shapes:
        -> (num_nodes, 1) by node type.
    """
    inter_type = (sides[0], "inter", sides[1])
    fitted = graph.edges[inter_type].data["role"] == FIT
    ends = graph.edges(etype=inter_type, order="eid")
    return {
        side: torch.bincount(end[fitted], minlength=graph.num_nodes(side)).float().log1p()[:, None]
        for side, end in zip(sides, ends, strict=True)
    }


def _logit(prior: NDArray[np.float64], scale: tuple[float, float] | None) -> Tensor:
    """A refitted prior, as `Problem.prior` has it."""
    raw = torch.from_numpy(prior)
    return raw.float() if scale is None else rating_logit(raw, scale)


def rating_logit(rating: Tensor, scale: tuple[float, float]) -> Tensor:
    """Raw ratings as float32 logits of their place on the scale, kept off its ends."""
    low, high = scale
    place = ((rating - low) / (high - low)).clamp(PRIOR_MARGIN, 1 - PRIOR_MARGIN)
    return place.logit().float()


def by_owner(inter: Relation) -> Tensor:
    """Edges of each left node as rows; every left node has the same number of candidates.

    Shapes:
        -> (num_left, num_edges / num_left), of the graph's type of ids, each row ascending.
    """
    _, _, edges = inter.forward.adj_tensors("csr")
    rows: Tensor = edges.view(inter.forward.num_src_nodes(), -1)
    is_ascending = bool((rows[:, 1:] > rows[:, :-1]).all())
    return rows if is_ascending else rows.sort(dim=1).values
