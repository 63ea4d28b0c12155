"""Stage `extract` for sounds and pictures: representation and logits of a baseline, and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from rrnet_cli.datasets.base import ROLE_NAMES, AudioSet, ImageSet, count_roles
from rrnet_cli.datasets.parts import fit_parts
from rrnet_cli.features.audio import logmel_statistics
from rrnet_cli.features.cross_fit import out_of_fold
from rrnet_cli.features.linear import LinearBaseline, fit_linear, flatten_pixels, top1
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import ExtractSettings
from rrnet_cli.stages._baseline import VIEWS, Baseline, Training, part_column, prior_facts
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
    record(draft, instances, settings, baseline, label_vectors, training.reporter)
    draft.summary["word_vectors"] = text.name


def record(
    draft: Draft,
    instances: AudioSet | ImageSet,
    settings: ExtractSettings,
    baseline: Baseline,
    label_vectors: NDArray[np.float32],
    reporter: Reporter,
) -> None:
    """Write what a baseline says, and the tables; the sounds or pictures themselves are not read.

    Args:
        draft: Where to write.
        instances: Their names, labels and roles.
        settings: Of the stage.
        baseline: What it says of them.
        label_vectors: (num_classes, dim) float32.
        reporter: Told of the parts of cross-fitting.
    """
    parts, prior = _prior(baseline, instances, settings, reporter)
    draft.write_tensors(
        "features.safetensors", {instances.modality: baseline.features, "text": label_vectors}
    )
    draft.write_tensors("prior.safetensors", {"logits": prior})
    if baseline.joined is not None:
        draft.write_tensors(VIEWS, {"logits": baseline.joined})
    draft.write_tensors("baseline.safetensors", baseline.weights)
    if baseline.history is not None:
        draft.write_table("history.parquet", baseline.history)
    _write_tables(draft, instances, parts)
    draft.summary.update(
        {
            "task": "classification",
            "left": instances.modality,
            "right": "text",
            "instances": count_roles(instances.roles),
            **prior_facts(parts),
            "classes": len(instances.class_names),
            "dims": {
                instances.modality: int(baseline.features.shape[1]),
                "text": int(label_vectors.shape[1]),
            },
            "baseline": {**_scores(baseline.logits, prior, parts, instances), **baseline.facts},
            "skipped": len(instances.skipped),
        }
    )


def _prior(
    baseline: Baseline,
    instances: AudioSet | ImageSet,
    settings: ExtractSettings,
    reporter: Reporter,
) -> tuple[NDArray[np.int64] | None, NDArray[np.float32]]:
    """The parts of cross-fitting, if it is asked for, and the logits to be given on."""
    if settings.cross_fit is None or baseline.refit is None:
        return None, baseline.logits
    parts = fit_parts(
        instances.roles,
        settings.cross_fit,
        settings.data.split_seed,
        labels=instances.labels,
        groups=instances.groups,
    )
    return parts, out_of_fold(baseline.logits, instances.roles, parts, baseline.refit, reporter)


def _scores(
    logits: NDArray[np.float32],
    prior: NDArray[np.float32],
    parts: NDArray[np.int64] | None,
    instances: AudioSet | ImageSet,
) -> dict[str, float | None]:
    """Accuracy of the one baseline and, of cross-fitting, what the others reach on FIT."""
    scores = top1(logits, instances.labels, instances.roles)
    if parts is not None:
        scores["oof_top1"] = top1(prior, instances.labels, instances.roles)["fit_top1"]
    return {name: None if np.isnan(score) else score for name, score in scores.items()}


def _write_tables(
    draft: Draft, instances: AudioSet | ImageSet, parts: NDArray[np.int64] | None
) -> None:
    draft.write_table(
        "instances.parquet",
        pa.table(
            {
                "id": pa.array(instances.ids, pa.string()),
                "label": pa.array(instances.labels, pa.int64()),
                "role": pa.array(np.array(ROLE_NAMES)[instances.roles], pa.string()),
                **part_column(parts),
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
    return linear_baseline(statistics, instances, standardise=True)


def _pixels(
    instances: AudioSet | ImageSet, settings: ExtractSettings, training: Training
) -> Baseline:
    assert isinstance(instances, ImageSet)
    # Pixels share one unit: neighbours of the raw values are better than of standardised ones.
    return linear_baseline(flatten_pixels(instances.images), instances, standardise=False)


def linear_baseline(
    features: NDArray[np.float32], instances: AudioSet | ImageSet, *, standardise: bool
) -> Baseline:
    """A logistic regression on features (num_instances, dim), given on scaled or as they are."""

    def fit(roles: NDArray[np.int8]) -> LinearBaseline:
        return fit_linear(features, instances.labels, roles, len(instances.class_names))

    head = fit(instances.roles)
    return Baseline(
        features=head.standardise(features) if standardise else features,
        logits=head.logits,
        refit=lambda _part, roles, rows: fit(roles).logits[rows],
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
