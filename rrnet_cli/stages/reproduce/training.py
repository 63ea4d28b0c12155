"""How the network baselines of a table were trained, read from their features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.evaluation.training_curves import TrainingCurves
from rrnet_cli.stages.reproduce.cases import Case
from rrnet_cli.stages.reproduce.chain import Chain
from rrnet_cli.stages.reproduce.lines import Line

HISTORY = "history.parquet"
"""One row an epoch; a baseline that is no network has none."""


def training_curves(
    chain: Chain, lines: Sequence[Line], every: Sequence[Line]
) -> list[TrainingCurves]:
    """The curves of each network, once for all lines that use it, named after its own line.

    Lines without a network are left out, and those whose features a dry run lacks.

    Args:
        chain: Has made, or found, the features of the lines.
        lines: Those that were run.
        every: All of the table, run or not.
    """
    own = {line.case.name: line for line in every if line.case is not None}
    drawn: dict[str, TrainingCurves] = {}
    for line in lines:
        if line.case is None:
            continue
        network = line.case.weights_of or line.case
        if network.name not in drawn:
            top1 = _select_top1(chain, network)
            if top1 is not None:
                runs = [_label(network, run) for run in network.runs]
                named = own.get(network.name, line)
                drawn[network.name] = TrainingCurves(
                    network.name, named.data, named.backbone, runs, top1
                )
    return list(drawn.values())


def networks(lines: Sequence[Line]) -> list[str]:
    """The names of the networks that lines use, in their order."""
    cases = [line.case for line in lines if line.case is not None]
    return list(dict.fromkeys((case.weights_of or case).name for case in cases))


def _select_top1(chain: Chain, case: Case) -> NDArray[np.float64] | None:
    """Percent, (runs, epochs); None where there is no curve, or nothing to select on."""
    rows = []
    for run in case.runs:
        features = chain.features(case, run)
        if features is None or HISTORY not in features.manifest.files:
            return None
        rows.append(features.table(HISTORY, ("select_top1",))["select_top1"].to_numpy())
    top1 = 100.0 * np.stack(rows)
    return top1 if np.isfinite(top1).all() else None


def _label(case: Case, run: int) -> str:
    return "one run" if case.vary == "once" else f"{case.vary} {run}"
