"""Stage `extract` for sounds and pictures: representation and logits of a baseline, and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from rrnet_cli.datasets.base import ROLE_NAMES, AudioSet, ImageSet
from rrnet_cli.features.audio import logmel_statistics
from rrnet_cli.features.linear import fit_linear, flatten_pixels, top1
from rrnet_cli.settings import ExtractSettings
from rrnet_cli.stages._baseline import Baseline, Training
from rrnet_cli.stages._text import TextSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rrnet_cli.store.draft import Draft


def write(
    draft: Draft,
    instances: AudioSet | ImageSet,
    settings: ExtractSettings,
    text: TextSource,
    training: Training,
) -> None:
    """Make the baseline and write the whole artifact.

    Args:
        draft: Where to write.
        instances: Decoded; the baseline reads the labels of FIT and SELECT only.
        settings: Of the stage.
        text: Word vectors for the labels.
        training: Checkpoints, device, progress.

    Raises:
        InputError: A label without a word vector.
    """
    # First what can fail at once: a missing word would be a pity after hours of training.
    label_vectors = text.embed(instances.class_names)
    baseline = _BASELINES[settings.baseline.backbone](instances, settings, training)
    draft.write_tensors(
        "features.safetensors", {instances.modality: baseline.features, "text": label_vectors}
    )
    draft.write_tensors("prior.safetensors", {"logits": baseline.logits})
    draft.write_tensors("baseline.safetensors", baseline.weights)
    if baseline.history is not None:
        draft.write_table("history.parquet", baseline.history)
    _write_tables(draft, instances)
    scores = top1(baseline.logits, instances.labels, instances.roles)
    draft.summary.update(
        {
            "task": "classification",
            "left": instances.modality,
            "right": "text",
            "instances": {
                role: int((instances.roles == code).sum()) for code, role in enumerate(ROLE_NAMES)
            },
            "classes": len(instances.class_names),
            "dims": {
                instances.modality: int(baseline.features.shape[1]),
                "text": int(label_vectors.shape[1]),
            },
            "word_vectors": text.name,
            "baseline": {
                **{name: None if np.isnan(score) else score for name, score in scores.items()},
                **baseline.facts,
            },
            "skipped": len(instances.skipped),
        }
    )


def _write_tables(draft: Draft, instances: AudioSet | ImageSet) -> None:
    draft.write_table(
        "instances.parquet",
        pa.table(
            {
                "id": pa.array(instances.ids, pa.string()),
                "label": pa.array(instances.labels, pa.int64()),
                "role": pa.array(np.array(ROLE_NAMES)[instances.roles], pa.string()),
            }
        ),
    )
    draft.write_table(
        "labels.parquet", pa.table({"name": pa.array(instances.class_names, pa.string())})
    )
    if instances.skipped:
        draft.write_json("skipped.json", dict(instances.skipped))


def _logmel(
    instances: AudioSet | ImageSet, settings: ExtractSettings, training: Training
) -> Baseline:
    assert isinstance(instances, AudioSet)
    statistics = logmel_statistics(
        instances.clips, instances.sample_rate, reporter=training.reporter
    )
    return _linear(statistics, instances, standardise=True)


def _pixels(
    instances: AudioSet | ImageSet, settings: ExtractSettings, training: Training
) -> Baseline:
    assert isinstance(instances, ImageSet)
    # Pixels share one unit: neighbours of the raw values are better than of standardised ones.
    return _linear(flatten_pixels(instances.images), instances, standardise=False)


def _linear(
    features: NDArray[np.float32], instances: AudioSet | ImageSet, *, standardise: bool
) -> Baseline:
    head = fit_linear(features, instances.labels, instances.roles, len(instances.class_names))
    return Baseline(
        features=head.standardise(features) if standardise else features,
        logits=head.logits,
        weights=head.weights,
        facts={"converged": head.converged},
    )


def _network(
    instances: AudioSet | ImageSet, settings: ExtractSettings, training: Training
) -> Baseline:
    # Imports torchvision, which a linear baseline has no need of.
    from rrnet_cli.stages._network_baseline import network_baseline

    return network_baseline(instances, settings, training)


_BASELINES: dict[str, Callable[[AudioSet | ImageSet, ExtractSettings, Training], Baseline]] = {
    "logmel": _logmel,
    "pixels": _pixels,
    "envnet": _network,
    "envnet_v2": _network,
    "m18": _network,
    "resnet18": _network,
    "resnet50": _network,
    "mobilenet_v2": _network,
}
