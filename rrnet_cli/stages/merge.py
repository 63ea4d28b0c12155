"""Stage `merge`: the shards of an extraction to the features artifact that one machine would make.

Neither raw data nor a network is run: what is fitted on all instances at once, the classifier of
log-mel statistics, is fitted here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rrnet_cli.datasets.base import ROLE_NAMES, AudioSet, ImageSet
from rrnet_cli.errors import ArtifactMissingError, ConfigError
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import ExtractSettings
from rrnet_cli.stages import _classification, _weights
from rrnet_cli.stages._backbones import MODALITIES, SAMPLE_RATES
from rrnet_cli.stages._baseline import VIEWS, Baseline
from rrnet_cli.stages._recorded import settings_of
from rrnet_cli.stages.extract import check_holdout
from rrnet_cli.stages.shards import SHARD, STATISTICS
from rrnet_cli.store.artifact import Artifact, Key

if TYPE_CHECKING:
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store


def merge(
    refs: Sequence[str],
    *,
    store: Store,
    name: str | None,
    reporter: Reporter,
    force: bool = False,
) -> Outcome:
    """Join all shards of one extraction.

    Args:
        refs: Of the shards, in any order.
        store: Where artifacts are.
        name: Of the features; as the shards were told where None.
        reporter: Progress and notes.
        force: Merge again even where the features are there.

    Returns:
        The features, of the same version as those of `extract`, and the same bits where all
        shards were made on machines of one kind.

    Raises:
        ConfigError: A shard twice, or shards that were not made alike.
        ArtifactFormatError: Shards' settings are of another version of rrnet.
        ArtifactMissingError: Not all shards are given, or their network is not in the store.
    """
    shards = _complete([store.resolve("shard", ref) for ref in refs])
    first = shards[0].manifest
    params = {key: value for key, value in first.params.items() if key != SHARD}
    settings = settings_of(shards[0], ExtractSettings, params)
    weights = first.inputs.get("weights")
    key = Key(
        kind="features",
        name=name or str(first.summary["features"]),
        params=params,
        inputs={} if weights is None else {"weights": weights},
        data=first.data,
    )
    if any(shard.manifest.versions != first.versions for shard in shards):
        reporter.note("the shards were made with different versions of rrnet or its libraries")
    fitted = [store.open(ref) for ref in first.inputs.values()]

    def build(draft: Draft) -> None:
        instances = _instances(shards, settings)
        check_holdout(settings, instances.roles)
        baseline = _baseline(shards, instances, settings, fitted)
        vectors = shards[0].arrays("features.safetensors")["text"]
        draft.summary.update({k: first.summary[k] for k in ("recipe", "dataset", "backbone")})
        _classification.record(draft, instances, settings, baseline, vectors, reporter)
        draft.summary["word_vectors"] = first.summary["word_vectors"]

    return store.materialise(key, build, force=force)


@dataclass(frozen=True)
class _Place:
    """Which shard of how many a manifest is."""

    number: int
    of: int

    @classmethod
    def read(cls, shard: Artifact) -> _Place:
        place: Any = shard.manifest.params[SHARD]
        return cls(**place)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def _complete(shards: Sequence[Artifact]) -> list[Artifact]:
    """The shards in their order, once it is sure that they are all of one making."""
    first = shards[0]
    found: dict[int, Artifact] = {}
    for shard in shards:
        unlike = _unlike(first, shard)
        if unlike:
            raise ConfigError(
                f"{shard.ref} and {first.ref} are of different extractions ({', '.join(unlike)})",
                "merge the shards of one command only",
            )
        place = _Place.read(shard)
        if place.number in found:
            raise ConfigError(f"shard {place} is given twice", "give each shard once")
        found[place.number] = shard
    of = _Place.read(first).of
    missing = [f"{number}/{of}" for number in range(1, of + 1) if number not in found]
    if missing:
        shown = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
        raise ArtifactMissingError(
            f"{len(missing)} of {of} shards of {first.manifest.summary['features']} are missing: "
            f"{shown}",
            "make them with the same `rrnet extract` and --shard, then give all of them",
        )
    return [found[number] for number in sorted(found)]


def _unlike(one: Artifact, other: Artifact) -> list[str]:
    """In what two shards cannot belong together; empty where they can."""

    def making(shard: Artifact) -> dict[str, object]:
        manifest = shard.manifest
        return {
            **{key: value for key, value in manifest.params.items() if key != SHARD},
            "number of shards": _Place.read(shard).of,
            "network": {role: ref.version for role, ref in manifest.inputs.items()},
            "raw data": manifest.data,
            "picture size": manifest.summary["size"],
        }

    ours, theirs = making(one), making(other)
    return [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]


def _instances(shards: Sequence[Artifact], settings: ExtractSettings) -> AudioSet | ImageSet:
    """All instances without their sounds or pictures, which nothing reads any more."""
    table = pa.concat_tables([shard.table("instances.parquet") for shard in shards])
    roles = np.array([ROLE_NAMES.index(role) for role in table["role"].to_pylist()], np.int8)
    common: Mapping[str, Any] = {
        "ids": tuple(table["id"].to_pylist()),
        "labels": table["label"].to_numpy(),
        "class_names": tuple(shards[0].table("labels.parquet")["name"].to_pylist()),
        "roles": roles,
        "groups": table["group"].to_numpy() if "group" in table.column_names else None,
    }
    if MODALITIES[settings.data.layout] == "audio":
        return AudioSet(clips=(), sample_rate=SAMPLE_RATES[settings.baseline.backbone], **common)
    return ImageSet(images=np.empty((0, 0, 0, 3), np.uint8), **common)


def _baseline(
    shards: Sequence[Artifact],
    instances: AudioSet | ImageSet,
    settings: ExtractSettings,
    fitted: Sequence[Artifact],
) -> Baseline:
    """What the shards say, one after another."""

    def joined(file: str, name: str) -> Any:
        # Mapped files: only what is joined is in memory.
        return np.concatenate([shard.tensors(file)[name].numpy() for shard in shards])

    features = joined("features.safetensors", instances.modality)
    if settings.baseline.backbone == STATISTICS:
        return _classification.linear_baseline(features, instances, standardise=True)
    network = _weights.given(fitted[0])
    return Baseline(
        features=features,
        logits=joined("prior.safetensors", "logits"),
        weights=network.weights,
        history=network.history,
        facts=network.facts,
        joined=joined(VIEWS, "logits") if VIEWS in shards[0].manifest.files else None,
    )
