"""The paper's tables and figures, each a chain of the ordinary stages."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from rrnet_cli.evaluation.reproduction_pages import Reproduction
from rrnet_cli.stages.reproduce.chain import Chain

__all__ = ["SWEPT", "TARGETS", "WITH_PEERS", "reproduce"]

TARGETS = {
    "table1": "table1:table",
    "table2": "table2:table",
    "table3": "table3:table",
    "table4": "table4:table",
    "table5": "sweeps:table5",
    "fig3": "sweeps:figure3",
    "fig4": "sweeps:figure4",
}
"""Target to ``module:function``, in the order of the paper."""

SWEPT = tuple(target for target, place in TARGETS.items() if place.startswith("sweeps:"))
"""Those that vary one setting."""

WITH_PEERS = ("table1", "table2", "table4")
"""Those that run other methods on the same graphs."""


def reproduce(target: str, chain: Chain) -> Reproduction:
    """Run one target.

    Args:
        target: Key of `TARGETS`.
        chain: Makes and finds the artifacts, with the options.

    Returns:
        The page; in a dry run its rows are empty, and `chain.steps` is what counts.

    Raises:
        RRNetError: As the stages, and of rows that are not there.
    """
    module, _, name = TARGETS[target].partition(":")
    run: Callable[[Chain], Reproduction] = getattr(import_module(f"{__name__}.{module}"), name)
    return run(chain)
