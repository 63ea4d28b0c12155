"""Stage `partition`: a graph artifact to parts that DGL's servers serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rrnet_cli.settings import PartitionSettings
from rrnet_cli.store.reference import Key

if TYPE_CHECKING:
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store

PARTS = "parts/graph.json"
MAPPING = "mapping.safetensors"


def partition(
    settings: PartitionSettings,
    *,
    store: Store,
    graph: str | None,
    name: str | None,
    force: bool = False,
) -> Outcome:
    """Cut a graph artifact into parts.

    Args:
        settings: Of the stage.
        store: Where artifacts are.
        graph: Reference of the graph; None for the newest.
        name: Of the artifact; `<graph name>-<parts>parts` where None.
        force: Cut again even where the same version is there.

    Returns:
        The partition artifact: ``parts/graph.json`` and ``parts/part<i>/`` in DGL's format, and
        ``mapping.safetensors``: ``node.<type>`` the number within the parts of each node of the
        graph, ``edge`` that of each inter-edge.

    Raises:
        ConfigError: The graph is too small for so many parts.
    """
    source = store.resolve("graph", graph)
    features = store.resolve("features", str(source.manifest.inputs["features"]))
    key = Key(
        kind="partition",
        name=name or f"{source.ref.name}-{settings.parts}parts",
        params=settings.recorded(),
        inputs={"graph": source.ref, "features": features.ref},
        data=None,
    )

    def build(draft: Draft) -> None:
        # here, so that a cached partition is answered without torch and DGL
        from rrnet_cli.graphs.parts import part_statistics, write_parts
        from rrnet_cli.stages._problem import read_heterograph

        whole = read_heterograph(source, features)
        tensors = features.tensors("features.safetensors")
        attributes = {side: tensors[side] for side in whole.ntypes}
        made = write_parts(whole, attributes, settings.parts, draft.path(PARTS))
        nodes = {f"node.{side}": numbers for side, numbers in made.node.items()}
        draft.write_tensors(MAPPING, {**nodes, "edge": made.row})
        draft.summary.update(
            {
                "parts": settings.parts,
                "left": features.manifest.summary["left"],
                "right": features.manifest.summary["right"],
                "statistics": part_statistics(whole, made.part, settings.parts),
            }
        )

    return store.materialise(key, build, force=force)
