"""Between-class learning: tell in which ratio two sounds are mixed.

After Tokozume, Ushiku & Harada 2018, "Learning from Between-class Examples for Deep Sound
Recognition", and the code published with it.

Each training example is a mix of two clips of different classes in a random ratio, its label the
ratio on both classes, its loss the Kullback-Leibler divergence from that label. Instances to select
or test on are never mixed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.features.batches import ClipInputs, Index, Inputs, scaled
from rrnet_cli.features.network import BaselineNet
from rrnet_cli.features.sound_net import SoundNet
from rrnet_cli.features.strong_augment import random_gain

if TYPE_CHECKING:
    from rrnet_cli.settings import BaselineSettings

WINDOWS = {8_000: 1024, 16_000: 2048, 44_100: 4096}
"""Samples that loudness is measured over, by rate: about a tenth of a second. The published code
has those of 16 and 44.1 kHz; that of 8 kHz is ours, as long as that of 16."""

FLOOR_DB = -80.0
"""Loudness of silence, and the least weight of a frequency."""

Draw = Callable[[Index, np.random.Generator], tuple[Tensor, Tensor]]
"""Instances and a generator to a batch of raw inputs and its labels: (n,) int64, or soft ones,
(n, num_classes) float32."""


def training_draw(
    model: BaselineNet,
    inputs: Inputs,
    labels: NDArray[np.int64],
    fit: Index,
    settings: BaselineSettings,
) -> Draw:
    """How the batches of a training are drawn: plain views, or mixes of two classes.

    Raises:
        ConfigError: Between-class learning of what is no sound.
        InputError: Between-class learning of a single class.
    """
    if settings.between_class:
        if not (isinstance(model, SoundNet) and isinstance(inputs, ClipInputs)):
            raise ConfigError("Between-class learning mixes sounds.", "Leave out --between-class.")
        return BetweenClass(inputs, labels, fit, model.num_classes, model.sample_rate)
    targets = torch.from_numpy(labels.copy())
    return lambda index, rng: (inputs.train_batch(index, rng), targets[index])


class BetweenClass:
    """Mixes the clips of a batch with partners of other classes.

    The clips of an epoch come in its order, each once, and only partners are drawn at random; the
    published code draws both clips, so that some lead more than once an epoch and others never.

    Args:
        inputs: All instances.
        labels: (num_instances,) int64; those of `fit` are read.
        fit: Instances that may be partners.
        num_classes: Number of labels.
        sample_rate: In Hz, of the clips.

    Raises:
        InputError: `fit` is of one class.
    """

    def __init__(
        self,
        inputs: ClipInputs,
        labels: NDArray[np.int64],
        fit: Index,
        num_classes: int,
        sample_rate: int,
    ) -> None:
        self.inputs, self.labels, self.sample_rate = inputs, labels, sample_rate
        self._by_class = fit[np.argsort(labels[fit], kind="stable")]
        self._counts = np.bincount(labels[fit], minlength=num_classes)
        self._starts = np.cumsum(self._counts) - self._counts
        if np.count_nonzero(self._counts) < 2:
            raise InputError(
                "Between-class learning mixes sounds of two classes; all are of one.",
                "Leave out --between-class.",
            )

    def __call__(self, index: Index, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Mixed crops (n, width) float32 and their labels (n, num_classes) float32, rows of sum 1.

        Args:
            index: (n,) the first clip of each mix, of `fit`.
            rng: Draws partners, crops of both clips, ratios, and gains where they are asked for.
        """
        partner = self.partners(index, rng)
        first = scaled(self.inputs.crops(index, rng))
        second = scaled(self.inputs.crops(partner, rng))
        ratio = torch.from_numpy(rng.random(len(index), dtype=np.float32))
        mixed = mix(first, second, ratio, self.sample_rate)
        if self.inputs.strong:
            # Of the mix: before it, the loudness correction would take the gains back.
            mixed = random_gain(mixed, rng)
        rows = torch.arange(len(index))
        target = torch.zeros(len(index), len(self._counts))
        target[rows, torch.from_numpy(self.labels[index])] = ratio
        target[rows, torch.from_numpy(self.labels[partner])] = 1 - ratio
        return mixed, target

    def partners(self, index: Index, rng: np.random.Generator) -> Index:
        """One fitted instance of another class for each, (n,), all such equally likely."""
        own = self.labels[index]
        place = rng.integers(0, len(self._by_class) - self._counts[own])
        # Instances lie by class; step over those of the own class.
        place += np.where(place >= self._starts[own], self._counts[own], 0)
        partners: Index = self._by_class[place]
        return partners


def mix(first: Tensor, second: Tensor, ratio: Tensor, sample_rate: int) -> Tensor:
    """Mix so that the first sound is heard as `ratio` of the whole.

    With loudness G in dB, p = 1 / (1 + 10^((G1 - G2) / 20) (1 - r) / r); the mix is
    (p x1 + (1 - p) x2) / sqrt(p^2 + (1 - p)^2), which keeps the energy of unlike waves.

    Args:
        first: (n, width) float32.
        second: (n, width) float32.
        ratio: (n,) float32 in [0, 1].
        sample_rate: In Hz, one of `WINDOWS`.

    Returns:
        (n, width) float32.
    """
    louder = 10 ** ((loudness(first, sample_rate) - loudness(second, sample_rate)) / 20)
    # The formula times r / r, so that a ratio of 0 is no division by it.
    part = (ratio / (ratio + louder * (1 - ratio)))[:, None]
    mixed: Tensor = (part * first + (1 - part) * second) / (part**2 + (1 - part) ** 2).sqrt()
    return mixed


def loudness(crops: Tensor, sample_rate: int) -> Tensor:
    """A-weighted sound level of the loudest window of each crop, in dB.

    The power spectrum of every window (Hann, half overlapping) is weighted by the A curve and
    summed over frequencies; all is as in the published code, but for further digits in the curve's
    constants.

    Args:
        crops: (n, width) float32, width at least the window's.
        sample_rate: In Hz, one of `WINDOWS`.

    Returns:
        (n,) float32, at least `FLOOR_DB`.
    """
    window = WINDOWS[sample_rate]
    spectrum = torch.stft(
        crops,
        window,
        window // 2,
        window=torch.hann_window(window),
        center=False,
        return_complex=True,
    )
    power = torch.view_as_real(spectrum).square().sum(-1)
    energy = torch.einsum("f,nft->nt", _a_weights(window, sample_rate), power)
    decibels: Tensor = 10 * energy.amax(1).clamp(min=10 ** (FLOOR_DB / 10)).log10()
    return decibels


def _a_weights(window: int, sample_rate: int) -> Tensor:
    """(window // 2 + 1,) float32 factors of power by frequency."""
    import librosa

    frequencies = librosa.fft_frequencies(sr=sample_rate, n_fft=window)
    frequencies[0] = 1.0  # the curve has no value at 0 Hz, and its least one already at 1 Hz
    decibels = librosa.A_weighting(frequencies, min_db=FLOOR_DB)
    return torch.from_numpy(10 ** (decibels / 10)).float()


def loss_of(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy with labels (n,), or divergence from soft labels (n, num_classes); a mean.

    The divergence is KL(target || softmax): cross entropy less the entropy of the labels, which
    changes no gradient and makes 0 the least loss.
    """
    if target.ndim == 1:
        return functional.cross_entropy(logits, target)
    return functional.kl_div(functional.log_softmax(logits, 1), target, reduction="batchmean")


def right_answers(logits: Tensor, target: Tensor) -> int:
    """How often the likeliest label is the given one; of soft labels, the greater part."""
    wanted = target if target.ndim == 1 else target.argmax(1)
    return int((logits.argmax(1) == wanted).sum())
