"""Stage `extract` on several machines: fit the network once, apply it to a share of the instances.

What is fitted needs all training instances and cannot be shared out; what is then said of each
instance can. `merge` joins the shards to the features artifact that one machine would have made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from rrnet_cli.datasets.base import ROLE_NAMES, AudioSet, ImageSet
from rrnet_cli.datasets.share import Share
from rrnet_cli.errors import ArtifactMissingError, ConfigError
from rrnet_cli.features.audio import logmel_statistics
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import PICTURE_NETWORKS, SOUND_NETWORKS, ExtractSettings
from rrnet_cli.stages import _weights
from rrnet_cli.stages._backbones import check_backbone
from rrnet_cli.stages._baseline import VIEWS, Training
from rrnet_cli.stages.extract import check_holdout, prepare
from rrnet_cli.store.artifact import Artifact, Key

if TYPE_CHECKING:
    from pathlib import Path

    from rrnet_cli.store.draft import Draft
    from rrnet_cli.store.store import Outcome, Store

SHARD = "shard"
"""Parameter of a shard: which one of how many. The rest are those of the features."""
STATISTICS = "logmel"
"""The backbone whose features need no fit; its classifier is fitted on the merged ones."""


def fit(
    settings: ExtractSettings,
    *,
    store: Store,
    data: Path | None,
    name: str | None,
    recipe: str | None,
    reporter: Reporter,
    force: bool = False,
    resume: bool = True,
    device: str = "auto",
) -> Outcome:
    """Train the network that the shards of some features need, and keep it as an artifact.

    What it takes is what `extract` takes.

    Returns:
        The artifact, of the kind ``baseline``.

    Raises:
        ConfigError: A backbone that is no network, or cross-fitting.
        RRNetError: As `extract`.
    """
    _check(settings)
    if settings.baseline.backbone == STATISTICS:
        raise ConfigError(
            f"--fit-only: {STATISTICS} is fitted when its shards are merged",
            "begin with --shard",
        )
    job = prepare(settings, store=store, data=data, name=name, recipe=recipe, reporter=reporter)
    key = _fitted_key(job.key)

    def build(draft: Draft) -> None:
        # Imports torchvision, which nothing else here needs.
        from rrnet_cli.stages._network_baseline import fit_network

        loaded = job.reader.load(reporter)
        assert isinstance(loaded, AudioSet | ImageSet)
        check_holdout(settings, loaded.roles)
        training = Training(store.workspace(key), resume and not force, device, reporter)
        network = fit_network(loaded, settings, training)
        draft.write_tensors("baseline.safetensors", network.weights)
        draft.write_table("history.parquet", network.history)
        draft.summary.update({**job.facts, "baseline": network.facts})

    return store.materialise(key, build, force=force)


def extract_shard(
    settings: ExtractSettings,
    shard: tuple[int, int],
    *,
    store: Store,
    data: Path | None,
    name: str | None,
    recipe: str | None,
    reporter: Reporter,
    force: bool = False,
    device: str = "auto",
    weights: str | None = None,
) -> Outcome:
    """Decode one share of the instances and say of each what its network says.

    `shard` is (i, n) with 1 <= i <= n; the rest is what `extract` takes.

    Returns:
        The artifact, of the kind ``shard``: features and prior of its rows, their names, labels
        and roles. Its parameters are those of the features and the shard's.

    Raises:
        ConfigError: A backbone without shards, cross-fitting of a network, more shards than
            instances.
        ArtifactMissingError: The network is not fitted yet.
        RRNetError: As `extract`.
    """
    _check(settings)
    network = settings.baseline.backbone != STATISTICS
    job = prepare(
        settings,
        store=store,
        data=data,
        name=name,
        recipe=recipe,
        reporter=reporter,
        weights=weights,
        share=Share(*shard, _batch(settings)),
    )
    number, of = shard
    fitted = job.trained or (_fitted(store, job.key) if network else None)
    role = "weights" if job.trained is not None else "baseline"
    key = Key(
        kind="shard",
        name=f"{job.key.name}-{number}of{of}",
        params={**job.key.params, SHARD: {"number": number, "of": of}},
        inputs={} if fitted is None else {role: fitted.ref},
        data=job.key.data,
    )
    text = job.text
    assert text is not None

    def build(draft: Draft) -> None:
        loaded = job.reader.load(reporter)
        assert isinstance(loaded, AudioSet | ImageSet)
        label_vectors = text.embed(loaded.class_names)
        if fitted is None:
            features = _statistics(loaded, reporter)
        else:
            given = _weights.given(fitted)
            training = Training(store.workspace(key), False, device, reporter, given)
            features = _apply(draft, loaded, settings, training)
        draft.write_tensors(
            "features.safetensors", {loaded.modality: features, "text": label_vectors}
        )
        _write_tables(draft, loaded)
        draft.summary.update(
            {
                **job.facts,
                "features": job.key.name,
                "word_vectors": text.name,
                "instances": len(loaded.ids),
                "size": list(loaded.images.shape[1:]) if isinstance(loaded, ImageSet) else None,
            }
        )

    return store.materialise(key, build, force=force)


def _check(settings: ExtractSettings) -> None:
    """Refuse what cannot be shared out."""
    check_backbone(settings)
    backbone = settings.baseline.backbone
    if backbone not in (*SOUND_NETWORKS, *PICTURE_NETWORKS, STATISTICS):
        raise ConfigError(
            f"{backbone} is fitted on all instances at once, so it has no shards",
            "leave out --shard and --fit-only",
        )
    if settings.cross_fit is not None and backbone != STATISTICS:
        raise ConfigError(
            f"--cross-fit fits {settings.cross_fit} more networks, which shards do not share out",
            "leave out --cross-fit, or --shard and --fit-only",
        )


def _batch(settings: ExtractSettings) -> int:
    """Instances that are looked at together, so that no batch is cut in two."""
    if settings.baseline.backbone == STATISTICS:
        return 1
    from rrnet_cli.features.inference import batch_of

    sound = settings.baseline.backbone in SOUND_NETWORKS
    return batch_of(settings.baseline.test_crops if sound else settings.baseline.views)


def _fitted_key(features: Key) -> Key:
    """The key of the network of some features: views and crops at test do not matter to it."""
    params = _weights.what_trains(features.params)
    return Key(kind="baseline", name=features.name, params=params, data=features.data)


def _fitted(store: Store, features: Key) -> Artifact:
    """The network that these features need, under whatever name it was fitted."""
    version = _fitted_key(features).version
    found = [ref for ref in store.refs("baseline") if ref.version == version]
    if not found:
        raise ArtifactMissingError(
            f"the network of {features.name} is not fitted, and every shard needs the same one",
            "run this command once with --fit-only in the place of --shard, then the shards",
        )
    return store.open(found[0])


def _statistics(loaded: AudioSet | ImageSet, reporter: Reporter) -> Any:
    assert isinstance(loaded, AudioSet)
    return logmel_statistics(loaded.clips, loaded.sample_rate, reporter=reporter)


def _apply(
    draft: Draft, loaded: AudioSet | ImageSet, settings: ExtractSettings, training: Training
) -> Any:
    from rrnet_cli.stages._network_baseline import network_baseline

    said = network_baseline(loaded, settings, training)
    draft.write_tensors("prior.safetensors", {"logits": said.logits})
    if said.joined is not None:
        draft.write_tensors(VIEWS, {"logits": said.joined})
    return said.features


def _write_tables(draft: Draft, loaded: AudioSet | ImageSet) -> None:
    groups = {} if loaded.groups is None else {"group": pa.array(loaded.groups, pa.int64())}
    columns = {
        "id": pa.array(loaded.ids, pa.string()),
        "label": pa.array(loaded.labels, pa.int64()),
        "role": pa.array(np.array(ROLE_NAMES)[loaded.roles], pa.string()),
        **groups,
    }
    draft.write_table("instances.parquet", pa.table(columns))
    names = pa.array(loaded.class_names, pa.string())
    draft.write_table("labels.parquet", pa.table({"name": names}))
