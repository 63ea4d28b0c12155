"""Which baseline fits which layout of raw data."""

from __future__ import annotations

from rrnet_cli.errors import ConfigError
from rrnet_cli.settings import ExtractSettings

MODALITIES = {
    "esc": "audio",
    "audio-folder": "audio",
    "audio-manifest": "audio",
    "image-folder": "image",
    "image-manifest": "image",
    "image-parquet": "image",
    "cifar-binary": "image",
    "digits": "image",
    "ratings": "rating",
    "ciao": "rating",
}
"""What each layout holds."""

BACKBONES = {
    "audio": ("envnet", "envnet_v2", "m18", "logmel"),
    "image": ("resnet18", "resnet50", "mobilenet_v2", "pixels"),
    "rating": ("rating-bias", "rating-factors"),
}
"""The baselines that each modality can have."""

SAMPLE_RATES = {"envnet": 16_000, "envnet_v2": 44_100, "m18": 8_000, "logmel": 22_050}
"""In Hz, that clips are read at; each network says its own, but importing one is slow."""


def check_backbone(settings: ExtractSettings) -> str:
    """The modality of the data, which the backbone must fit.

    Returns:
        ``audio``, ``image`` or ``rating``.

    Raises:
        ConfigError: It does not; names those that do.
    """
    modality = MODALITIES[settings.data.layout]
    if settings.baseline.backbone not in BACKBONES[modality]:
        what = {"audio": "sounds", "image": "pictures", "rating": "ratings"}[modality]
        raise ConfigError(
            f"the backbone {settings.baseline.backbone} does not read {what}",
            f"use --backbone {' or '.join(BACKBONES[modality])}",
        )
    return modality
