"""Raw files to instances, labels and ratings with splits and folds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rrnet_cli.datasets.base import OnError, Reader
from rrnet_cli.datasets.share import Share
from rrnet_cli.errors import ConfigError

if TYPE_CHECKING:
    from rrnet_cli.settings import DataSettings

__all__ = ["open_dataset"]


def open_dataset(
    settings: DataSettings,
    data: Path | None,
    *,
    on_error: OnError = "fail",
    sample_rate: int = 16000,
    share: Share | None = None,
) -> Reader:
    """The reader of a layout; nothing is looked at on disk before its first use.

    Args:
        settings: Layout, split, limits.
        data: The folder or file that the user named; none for data that come with a library.
        on_error: ``fail`` at the first unreadable file, or ``skip`` and list such files.
        sample_rate: Of decoded sound, in Hz.
        share: The instances to decode; None for all.

    Returns:
        A reader whose `source` and `load` raise `ConfigError` (a fold or subset that does not
        exist, no path) and `InputError` (anything wrong with the files).
    """
    if settings.subset is not None and settings.layout != "esc":
        raise ConfigError(
            f"the layout {settings.layout} has no subset {settings.subset!r}",
            "leave out --set data.subset",
        )
    if settings.layout in ("esc", "audio-folder", "audio-manifest"):
        from rrnet_cli.datasets.audio import open_audio

        return open_audio(settings, data, on_error, sample_rate, share)
    if settings.layout in ("ratings", "ciao"):
        from rrnet_cli.datasets.ratings import RatingReader

        return RatingReader(settings, data)
    from rrnet_cli.datasets.images import open_images

    return open_images(settings, data, on_error, share)
