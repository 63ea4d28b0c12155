"""Sound data sets: the ESC-50 repository, a folder a class, a manifest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rrnet_cli.datasets.audio_decode import AUDIO_SUFFIXES, decode_clip, warm_up
from rrnet_cli.datasets.base import AudioSet, OnError, Source
from rrnet_cli.datasets.files import in_threads, num_threads
from rrnet_cli.datasets.layouts import (
    Located,
    Plan,
    locate_esc,
    locate_folders,
    locate_manifest,
    make_plan,
)
from rrnet_cli.datasets.share import Share
from rrnet_cli.datasets.splits import check_roles
from rrnet_cli.errors import InputError
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import DataSettings


class AudioReader:
    """Reads one sound file an instance.

    Args:
        locate: Finds the files; called once, at the first use.
        settings: Split, fold, limit.
        sample_rate: Of the clips, in Hz.
        share: The clips to decode; None for all.
    """

    def __init__(
        self,
        locate: Callable[[], Located],
        settings: DataSettings,
        sample_rate: int,
        share: Share | None = None,
    ) -> None:
        self.locate = locate
        self.settings = settings
        self.sample_rate = sample_rate
        self.share = share

    @cached_property
    def plan(self) -> Plan:
        """The clips that were chosen, of which `share` are decoded."""
        return make_plan(self.locate(), self.settings)

    def source(self) -> Source:
        """The tables and the sound files that `load` will read."""
        return self.plan.source

    def load(self, reporter: Reporter) -> AudioSet:
        """Decode the clips.

        Raises:
            InputError: An unreadable clip under ``fail``, more than half unreadable under
                ``skip``, one class only, an empty split.
        """
        plan = self.plan.part(self.share)
        catalogue, skips = plan.located.catalogue, plan.located.skips
        for note in plan.located.notes:
            reporter.note(note)
        clips: list[NDArray[np.int16]] = []
        kept: list[int] = []
        work = list(zip(plan.paths, plan.ids, strict=True))
        warm_up()
        threads = ThreadPoolExecutor(num_threads())
        with reporter.task("Decoding clips", len(work), "clip") as task, threads as pool:
            for row, result in enumerate(in_threads(self._decode, work, pool)):
                if isinstance(result, InputError):
                    skips.add(plan.ids[row], result)
                else:
                    clips.append(result)
                    kept.append(row)
                task.advance()
        skips.settle(len(kept) + len(skips.reasons), reporter)
        labels, roles = plan.labels[kept], plan.roles[kept]
        judged = (labels, roles) if self.share is None else (self.plan.labels, self.plan.roles)
        check_roles(catalogue.where, *judged, catalogue.class_names)
        return AudioSet(
            ids=tuple(plan.ids[row] for row in kept),
            clips=tuple(clips),
            sample_rate=self.sample_rate,
            labels=labels,
            class_names=catalogue.class_names,
            roles=roles,
            skipped=dict(skips.reasons),
            groups=plan.groups if plan.groups is None else plan.groups[kept],
        )

    def _decode(self, item: tuple[Path, str]) -> NDArray[np.int16] | InputError:
        path, name = item
        try:
            return decode_clip(path, self.sample_rate, name)
        except InputError as error:
            return error


def open_audio(
    settings: DataSettings,
    data: Path | None,
    on_error: OnError,
    sample_rate: int,
    share: Share | None = None,
) -> AudioReader:
    """The reader of a sound layout: ``esc``, ``audio-folder`` or ``audio-manifest``."""

    def locate() -> Located:
        if settings.layout == "esc":
            return locate_esc(data, settings, on_error)
        if settings.layout == "audio-folder":
            return locate_folders(data, AUDIO_SUFFIXES, "sounds", on_error)
        return locate_manifest(data, on_error)

    return AudioReader(locate, settings, sample_rate, share)
