"""Mixing against a slow loop with the A curve written out, and a training on mixes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from rrnet_cli.datasets.base import FIT
from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.features.batches import scaled
from rrnet_cli.features.between_class import (
    WINDOWS,
    BetweenClass,
    loss_of,
    loudness,
    mix,
    right_answers,
    training_draw,
)
from rrnet_cli.features.classifier import TrainedClassifier, train_classifier
from rrnet_cli.features.strong_augment import random_gain
from tests.features.test_classifier import Interrupted, assert_same, stop_at
from tests.features.tiny import Recorder, tiny_images, tiny_net, tiny_settings
from tests.features.tiny_sound import NUM_CLASSES, TinySound, tiny_clips, tiny_sound


def a_weight(frequency: float) -> float:
    """IEC 61672's curve in dB, not below -80."""
    if frequency == 0:
        return -80.0
    f2 = frequency**2
    ratio = (12_194**2 * f2**2) / (
        (f2 + 20.6**2)
        * math.sqrt((f2 + 107.7**2) * (f2 + 737.9**2))
        * (f2 + 12_194**2)
    )  # fmt: skip
    return max(20 * math.log10(ratio) + 2.0, -80.0)


def slow_loudness(sound: np.ndarray, rate: int) -> float:
    window = WINDOWS[rate]
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * i / window) for i in range(window)]
    levels = []
    for start in range(0, len(sound) - window + 1, window // 2):
        spectrum = np.fft.rfft(sound[start : start + window].astype(np.float64) * hann)
        energy = 0.0
        for bin_number, value in enumerate(spectrum):
            energy += abs(value) ** 2 * 10 ** (a_weight(bin_number * rate / window) / 10)
        levels.append(10 * math.log10(max(energy, 1e-8)))
    return max(levels)


def slow_mix(first: np.ndarray, second: np.ndarray, ratio: float, rate: int) -> np.ndarray:
    gap = slow_loudness(first, rate) - slow_loudness(second, rate)
    part = 1 / (1 + 10 ** (gap / 20) * (1 - ratio) / ratio)
    return (part * first + (1 - part) * second) / math.sqrt(part**2 + (1 - part) ** 2)


def some_sounds(count: int, width: int, seed: int = 0) -> torch.Tensor:
    """Noise of unlike loudness and colour, louder in the middle."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, width)) * 10 ** rng.uniform(-3, -1, (count, 1))
    noise[::2] = np.cumsum(noise[::2], axis=1) / 30
    return torch.from_numpy((noise * np.hanning(width)).astype(np.float32))


@pytest.mark.parametrize("rate", WINDOWS)
def test_loudness_is_the_loop(rate: int) -> None:
    sounds = some_sounds(4, 3 * WINDOWS[rate] + 17)
    expected = [slow_loudness(sound, rate) for sound in sounds.numpy()]
    np.testing.assert_allclose(loudness(sounds, rate), expected, atol=0.01)


def test_silence_has_the_least_loudness() -> None:
    assert loudness(torch.zeros(2, 2048), 16_000).tolist() == pytest.approx([-80, -80])


def test_a_low_hum_is_softer_than_a_tone_of_the_same_energy() -> None:
    """A-weighting: 100 Hz lies 19.1 dB under 1 kHz."""
    time = torch.arange(16_000) / 16_000
    tones = torch.stack([torch.sin(2 * math.pi * hertz * time) for hertz in (100, 1000)])
    low, high = loudness(tones, 16_000).tolist()
    assert high - low == pytest.approx(19.1, abs=0.3)


@pytest.mark.parametrize("rate", WINDOWS)
def test_mixing_is_the_loop(rate: int) -> None:
    width = 2 * WINDOWS[rate]
    first, second = some_sounds(3, width, 1), some_sounds(3, width, 2).flip(0)
    ratio = torch.tensor([0.2, 0.5, 0.9])
    expected = [
        slow_mix(a, b, float(r), rate)
        for a, b, r in zip(first.numpy(), second.numpy(), ratio, strict=True)
    ]
    torch.testing.assert_close(
        mix(first, second, ratio, rate),
        torch.from_numpy(np.stack(expected).astype(np.float32)),
        rtol=1e-3,
        atol=1e-5,
    )


def test_the_ends_of_the_ratio_are_the_sounds_themselves() -> None:
    first, second = some_sounds(1, 4096, 1), some_sounds(1, 4096, 2)
    torch.testing.assert_close(mix(first, second, torch.ones(1), 16_000), first)
    torch.testing.assert_close(mix(first, second, torch.zeros(1), 16_000), second)
    silence = torch.zeros(1, 4096)
    assert mix(silence, silence, torch.full((1,), 0.5), 16_000).isfinite().all()


def test_half_and_half_are_heard_equally_loud() -> None:
    """Whatever their own levels: the louder one is turned down to the other."""
    time = torch.arange(8192) / 16_000
    tone = torch.sin(2 * math.pi * 1000 * time)[None]
    hum = torch.sin(2 * math.pi * 4000 * time)[None]
    mixed = mix(tone * 0.9, hum * 0.01, torch.full((1,), 0.5), 16_000)
    spectrum = torch.fft.rfft(mixed[0]).abs()
    levels = spectrum[[512, 2048]].log10() * 20
    weights = torch.tensor([a_weight(1000.0), a_weight(4000.0)])
    assert (levels + weights).diff().abs().item() < 0.1


def mixer(*, strong: bool = False) -> tuple[BetweenClass, np.ndarray, np.ndarray]:
    inputs, labels, roles = tiny_clips(strong=strong)
    fit = np.flatnonzero(roles == FIT)
    draw = training_draw(
        tiny_sound(), inputs, labels, fit, tiny_settings(backbone="envnet", between_class=True)
    )
    assert isinstance(draw, BetweenClass)
    return draw, labels, fit


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_two_classes_always_differ_and_labels_sum_to_one(seed: int) -> None:
    draw, labels, fit = mixer()
    batch, target = draw(fit, np.random.default_rng(seed))
    assert batch.shape == (len(fit), TinySound.crop)
    assert batch.dtype == target.dtype == torch.float32
    torch.testing.assert_close(target.sum(1), torch.ones(len(fit)))
    assert ((target > 0).sum(1) == 2).all()
    assert (target[torch.arange(len(fit)), torch.from_numpy(labels[fit])] > 0).all()


def test_partners_are_fitted_and_every_one_of_another_class_equally_likely() -> None:
    draw, labels, fit = mixer()
    first = fit[0]
    others = fit[labels[fit] != labels[first]]
    rng = np.random.default_rng(0)
    partners = draw.partners(np.full(200 * len(others), first), rng)
    found, counts = np.unique(partners, return_counts=True)
    np.testing.assert_array_equal(found, others)
    assert 130 < counts.min() <= counts.max() < 280
    for index in fit:
        drawn = draw.partners(np.full(500, index), rng)
        assert set(drawn) == set(fit[labels[fit] != labels[index]])


@pytest.mark.parametrize("strong", [False, True])
def test_a_batch_is_its_crops_mixed(strong: bool) -> None:
    draw, labels, fit = mixer(strong=strong)
    batch, target = draw(fit, np.random.default_rng(7))

    rng = np.random.default_rng(7)
    partner = draw.partners(fit, rng)
    first, second = (scaled(draw.inputs.crops(index, rng)) for index in (fit, partner))
    ratio = torch.from_numpy(rng.random(len(fit), dtype=np.float32))
    expected = mix(first, second, ratio, 8_000)
    if strong:
        expected = random_gain(expected, rng)
    assert torch.equal(batch, expected)
    one_hot = torch.eye(NUM_CLASSES)
    a, b = one_hot[labels[fit]], one_hot[labels[partner]]
    torch.testing.assert_close(target, ratio[:, None] * a + (1 - ratio[:, None]) * b)


def test_the_loss_is_the_divergence_and_its_gradient_that_of_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator, requires_grad=True)
    target = torch.zeros(6, 4)
    target[:, 1], target[:, 3] = 0.3, 0.7
    loss = loss_of(logits, target)
    entropy = -(0.3 * math.log(0.3) + 0.7 * math.log(0.7))
    cross = functional.cross_entropy(logits, target)
    torch.testing.assert_close(loss, cross - entropy)
    (gradient,) = torch.autograd.grad(loss, logits)
    (wanted,) = torch.autograd.grad(cross, logits)
    torch.testing.assert_close(gradient, wanted)
    assert loss_of(target.clamp(min=1e-20).log(), target).abs() < 1e-6


def test_hard_labels_keep_cross_entropy_and_right_answers_are_the_greater_part() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
    hard = torch.tensor([0, 2])
    assert torch.equal(loss_of(logits, hard), functional.cross_entropy(logits, hard))
    assert right_answers(logits, hard) == 1
    assert right_answers(logits, torch.tensor([[0.6, 0.4, 0.0], [0.0, 0.4, 0.6]])) == 1


def train(
    workspace: Path | None = None, reporter: Recorder | None = None, **changes: object
) -> TrainedClassifier:
    settings = tiny_settings(backbone="envnet", lr=0.05, schedule="step", **changes)
    clips = tiny_clips(strong=settings.strong_augment)
    return train_classifier(
        tiny_sound(), *clips, settings, 0, workspace=workspace, reporter=reporter, device="cpu"
    )


@pytest.mark.parametrize("strong", [False, True])
@pytest.mark.parametrize("step", [2, 6, 8])
def test_an_interrupted_run_on_mixes_ends_as_an_uninterrupted_one(
    tmp_path: Path, step: int, strong: bool
) -> None:
    changes = {"between_class": True, "strong_augment": strong, "epochs": 4}
    whole = train(**changes)
    with pytest.raises(Interrupted):
        train(tmp_path, stop_at(step), **changes)
    reporter = Recorder()
    assert_same(train(tmp_path, reporter, **changes), whole)
    steps_an_epoch = 3
    assert reporter.steps == (4 - (step - 1) // steps_an_epoch) * steps_an_epoch


def test_every_switch_changes_the_training() -> None:
    names = ("between_class", "strong_augment")
    runs = [train(epochs=1, **dict.fromkeys(on, True)) for on in ((), names[:1], names[1:], names)]
    weights = [run.weights["conv.weight"] for run in runs]
    for i, one in enumerate(weights):
        for other in weights[i + 1 :]:
            assert not torch.equal(one, other)


def test_it_learns_from_mixes_alone() -> None:
    trained = train(between_class=True, epochs=60)
    assert trained.history[-1]["loss"] < 0.7 * trained.history[0]["loss"]
    assert trained.select_top1 == 1.0


def test_what_is_not_fitted_does_not_touch_the_weights() -> None:
    inputs, labels, roles = tiny_clips()
    settings = tiny_settings(backbone="envnet", between_class=True, epochs=2)
    reference = train_classifier(tiny_sound(), inputs, labels, roles, settings, 0, device="cpu")
    labels[roles != FIT] = (labels[roles != FIT] + 1) % NUM_CLASSES
    changed = train_classifier(tiny_sound(), inputs, labels, roles, settings, 0, device="cpu")
    for name, value in reference.weights.items():
        assert torch.equal(value, changed.weights[name]), name


def test_one_class_cannot_be_mixed() -> None:
    inputs, labels, roles = tiny_clips()
    settings = tiny_settings(backbone="envnet", between_class=True)
    with pytest.raises(InputError, match="two classes"):
        train_classifier(tiny_sound(), inputs, labels * 0, roles, settings, 0, device="cpu")


def test_pictures_cannot_be_mixed() -> None:
    settings = tiny_settings(backbone="envnet", between_class=True)
    with pytest.raises(ConfigError, match="mixes sounds"):
        train_classifier(tiny_net(), *tiny_images(), settings, 0, device="cpu")
