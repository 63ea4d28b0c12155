"""What a graph artifact and its features are trained and scored as."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import TypeAdapter

from rrnet_cli.graphs.edges import parse_edge_key
from rrnet_cli.graphs.hetero import from_tables
from rrnet_cli.settings import TrainSettings
from rrnet_cli.stages._baseline import VIEWS
from rrnet_cli.stages._refit import refit_of
from rrnet_cli.training.problem import Problem, assemble, degrees

if TYPE_CHECKING:
    import dgl

    from rrnet_cli.store.artifact import Artifact

_SCALE = TypeAdapter(tuple[float | None, float | None])


def read_heterograph(graph: Artifact, features: Artifact) -> dgl.DGLGraph:
    """The graph of an artifact; its features say how many nodes there are."""
    summary = features.manifest.summary
    tensors = features.tensors("features.safetensors")
    tables = {
        parse_edge_key(name.removeprefix("edges/").removesuffix(".parquet")): graph.parts(name)
        for name in graph.manifest.files
        if name.startswith("edges/")
    }
    sides = (str(summary["left"]), str(summary["right"]))
    return from_tables({side: tensors[side].shape[0] for side in sides}, tables)


def load_problem(graph: Artifact, features: Artifact, settings: TrainSettings) -> Problem:
    """Read a graph and its features into what training and scoring need."""
    summary = features.manifest.summary
    sides = (str(summary["left"]), str(summary["right"]))
    tensors = features.tensors("features.safetensors")
    heterograph = read_heterograph(graph, features)
    low, high = _SCALE.validate_python(summary.get("scale") or (None, None))
    scale = None if low is None or high is None else (low, high)
    if scale is not None and settings.attributes == "degree":
        tensors = degrees(heterograph, sides)
    elif settings.attributes == "none":
        tensors = {**tensors, sides[0]: torch.ones(tensors[sides[0]].shape[0], 1)}
    refit = refit_of(heterograph, features, scale) if settings.refit_prior else None
    views = None
    if VIEWS in features.manifest.files:
        views = features.tensors(VIEWS)["logits"].log_softmax(1)
    return assemble(
        heterograph,
        sides,
        tensors,
        scale,
        settings.normalise,
        refit,
        views,
        stored=settings.batch_size is not None,
    )
