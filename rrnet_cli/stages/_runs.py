"""Which models make up one evaluation, and what its runs are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rrnet_cli.errors import ConfigError
from rrnet_cli.stages.judging import Source

_FREE = {
    "features": ("data.fold", "data.split_seed", "seed"),
    "graph": ("shuffle_intra",),
    "model": ("seed",),
}
"""Parameters in which the runs of one evaluation may differ, if all have them: folds and seeds."""


def grouped(sources: Sequence[Source], average: bool) -> list[list[Source]]:
    """The models of each run: one each, or those of one graph together.

    Raises:
        ConfigError: Something else than folds and seeds of one setting; with `average`, graphs of
            one model, or of unlike many.
    """
    _check_runs(sources)
    if not average:
        return [[source] for source in sources]
    groups: dict[str, list[Source]] = {}
    for source in sources:
        groups.setdefault(str(source.graph.ref), []).append(source)
    counts = {graph: len(members) for graph, members in groups.items()}
    if len(set(counts.values())) > 1 or min(counts.values()) == 1:
        shown = ", ".join(f"{number} of {graph}" for graph, number in counts.items())
        raise ConfigError(
            f"no average over models can be taken: given are {shown}",
            "give equally many models of each graph, two at least, trained with other `--seed`s",
        )
    return list(groups.values())


def run_labels(groups: Sequence[Sequence[Source]]) -> list[str]:
    """What tells the runs apart: ``fold 3``, ``seed 1``; a single run is named the same way."""
    if len(groups) == 1:
        return [_short(groups[0])]
    return _labels([members[0] for members in groups])


def folds_or_seeds(groups: Sequence[Sequence[Source]]) -> str:
    """All labels in short: ``fold 1-5``, ``seed 0``, ``fold 1-5, averages of 3 models``."""
    short = _short(groups[0] if len(groups) == 1 else [members[0] for members in groups])
    models = len(groups[0])
    return short if models == 1 else f"{short}, averages of {models} models"


def default_name(groups: Sequence[Sequence[Source]]) -> str:
    """The models' name without fold and seed; of averages with a mark."""
    names = [source.model.ref.name for members in groups for source in members]
    if len(names) == 1:
        return names[0]
    bare = {re.sub(r"-(fold|seed)\d+", "", name) for name in names}
    name = bare.pop() if len(bare) == 1 else f"{names[0]}-and-{len(names) - 1}-more"
    return f"{name}-average" if len(groups[0]) > 1 else name


def _check_runs(sources: Sequence[Source]) -> None:
    """Refuse to average over anything but folds and seeds of one setting.

    Raises:
        ConfigError: Names what differs.
    """
    versions = [source.model.ref.version for source in sources]
    if len(set(versions)) < len(versions):
        raise ConfigError("a model is given twice", "give each fold or seed once")
    first = sources[0]
    for other in sources[1:]:
        for role, free in _FREE.items():
            ours, theirs = getattr(first, role).manifest, getattr(other, role).manifest
            mine, its = _flat(ours.params), _flat(theirs.params)
            unlike = sorted(
                name
                for name in mine | its
                if mine.get(name) != its.get(name)
                and (name not in free or None in (mine.get(name), its.get(name)))
            )
            if ours.data != theirs.data:
                unlike.append("the raw data")
            if unlike:
                raise ConfigError(
                    f"{first.model.ref} and {other.model.ref} are no folds or seeds of one "
                    f"setting: {role} differs in {', '.join(unlike)}",
                    "evaluate each by itself, then `rrnet compare` them",
                )


def _varying(source: Source) -> dict[str, Any]:
    data, model = _flat(source.features.manifest.params), source.model.manifest.params
    return {
        "fold": data.get("data.fold"),
        "split seed": data.get("data.split_seed"),
        "baseline seed": data.get("seed"),
        "seed": model.get("seed"),
        "permutation": source.graph.manifest.params.get("shuffle_intra"),
    }


def _labels(sources: Sequence[Source]) -> list[str]:
    varying = [_varying(source) for source in sources]
    keys = [key for key in varying[0] if len({str(values[key]) for values in varying}) > 1]
    if all(len({str(values[key]) for key in keys}) == 1 for values in varying):
        keys = keys[:1]  # one number steers them all
    if not keys:
        keys = ["fold"] if varying[0]["fold"] is not None else ["seed"]
    return [", ".join(f"{key} {values[key]}" for key in keys) for values in varying]


def _short(sources: Sequence[Source]) -> str:
    varying = [_varying(source) for source in sources]
    for key in varying[0]:
        values = [values[key] for values in varying]
        if len(set(values)) == len(values) and len(values) > 1 and None not in values:
            ordered = sorted(values)
            if ordered == list(range(ordered[0], ordered[-1] + 1)):
                return f"{key} {ordered[0]}-{ordered[-1]}"
            return f"{key} {', '.join(map(str, ordered))}"
    return "; ".join(_labels(sources))


def _flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in params.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat
