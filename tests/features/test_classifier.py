"""Training of baselines: against a hand-written loop, and resumed against uninterrupted."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from rrnet_cli.datasets.base import FIT, SELECT, TEST
from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.features import classifier
from rrnet_cli.features.batches import ImageInputs
from rrnet_cli.features.classifier import (
    TrainedClassifier,
    TrainingRun,
    build_baseline,
    train_classifier,
)
from rrnet_cli.features.inference import apply
from rrnet_cli.training import checkpoints
from tests.conftest import PATIENCE, ROOT
from tests.features.tiny import (
    Recorder,
    TinyNet,
    tiny_images,
    tiny_net,
    tiny_settings,
    train_tiny,
)


def assert_same(left: TrainedClassifier, right: TrainedClassifier) -> None:
    assert left.history == right.history
    assert left.weights.keys() == right.weights.keys()
    for name, value in left.weights.items():
        assert torch.equal(value, right.weights[name]), name


class Interrupted(Exception):
    """What a reporter raises in the middle of an epoch."""


def stop_at(wanted: int) -> Recorder:
    def on_step(step: int) -> None:
        if step == wanted:
            raise Interrupted

    return Recorder(on_step)


def test_it_learns_and_reports() -> None:
    reporter = Recorder()
    trained = train_tiny(reporter=reporter, epochs=12)
    fitted = int((tiny_images()[2] == FIT).sum())
    assert reporter.total == reporter.done == 12 * fitted
    assert reporter.status[-1].startswith("epoch 12/12 loss 0.")
    assert "select" in reporter.status[-1]
    assert [row["epoch"] for row in trained.history] == list(range(1, 13))
    assert trained.history[-1]["loss"] < trained.history[0]["loss"] / 2
    assert trained.select_top1 > 0.9
    assert trained.fit_top1 > 0.8
    assert trained.precision == "float32"
    assert not trained.model.training


@pytest.mark.parametrize("backbone", ["resnet18", "envnet"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_one_run_is_the_plain_loop(backbone: str, schedule: str) -> None:
    """EnvNet with Nesterov momentum, pictures with the plain one, written out by hand."""
    inputs, labels, roles = tiny_images()
    inputs = ImageInputs(inputs.images, augment=False)
    settings = tiny_settings(backbone=backbone, schedule=schedule, epochs=3, batch_size=1000)
    net, theirs = tiny_net(), tiny_net()
    net.dropout.p = theirs.dropout.p = 0.0
    train_classifier(net, inputs, labels, roles, settings, 0, device="cpu")

    # One batch an epoch: its order does not matter.
    fit = np.flatnonzero(roles == FIT)
    batch, target = inputs.test_batch(fit), torch.from_numpy(labels[fit])
    velocity = [torch.zeros_like(p) for p in theirs.parameters()]
    for epoch in range(3):
        rate = {
            "constant": 0.1,
            "cosine": 0.05 * (1 + math.cos(math.pi * epoch / 3)),
            "step": (0.1, 0.1, 0.01)[epoch],
        }[schedule]
        theirs.zero_grad()
        functional.cross_entropy(theirs(batch), target).backward()
        with torch.no_grad():
            for p, v in zip(theirs.parameters(), velocity, strict=True):
                grad = p.grad + settings.weight_decay * p
                v.mul_(0.9).add_(grad)
                p.sub_(rate * (grad + 0.9 * v if backbone == "envnet" else v))
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_same_seed_same_weights_other_seed_other_weights() -> None:
    first = train_tiny(seed=3)
    assert_same(first, train_tiny(seed=3))
    other = train_tiny(seed=4)
    assert not torch.equal(first.weights["conv.weight"], other.weights["conv.weight"])


def test_a_built_baseline_depends_on_the_seed_alone() -> None:
    settings = tiny_settings(feature_dim=16)
    nets = []
    for seed in (1, 1, 2):
        torch.rand(3)
        nets.append(build_baseline(settings, 3, seed).state_dict()["trunk.conv1.weight"])
    assert torch.equal(nets[0], nets[1])
    assert not torch.equal(nets[0], nets[2])


def test_global_generators_are_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train_tiny(epochs=1)
    build_baseline(tiny_settings(feature_dim=16), 3, 1)
    with pytest.raises(Interrupted):
        train_tiny(reporter=stop_at(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_select_and_test_instances_do_not_touch_the_weights() -> None:
    inputs, labels, roles = tiny_images()
    reference = train_tiny()
    labels[roles != FIT] = (labels[roles != FIT] + 1) % 3
    inputs.images[roles != FIT] = 255 - inputs.images[roles != FIT]
    changed = train_classifier(tiny_net(), inputs, labels, roles, tiny_settings(), 0, device="cpu")
    for name, value in reference.weights.items():
        assert torch.equal(value, changed.weights[name]), name
    assert changed.select_top1 != reference.select_top1


def test_without_select_instances_there_is_no_accuracy() -> None:
    inputs, labels, roles = tiny_images()
    roles[roles == SELECT] = TEST
    settings = tiny_settings(epochs=1)
    trained = train_classifier(tiny_net(), inputs, labels, roles, settings, 0, device="cpu")
    assert trained.select_top1 is None


def test_normalisation_is_of_the_fitted_pictures() -> None:
    inputs, labels, roles = tiny_images(20)
    settings = tiny_settings(epochs=1, feature_dim=16)
    net = build_baseline(settings, 3, 0)
    trained = train_classifier(net, inputs, labels, roles, settings, 0, device="cpu")
    pixels = inputs.images[roles == FIT].reshape(-1, 3)
    np.testing.assert_allclose(trained.weights["pixel_mean"], pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(trained.weights["pixel_std"], pixels.std(0), rtol=1e-5)


@pytest.mark.parametrize("step", [2, 7, 13, 17])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path: Path, step: int) -> None:
    whole = train_tiny()
    with pytest.raises(Interrupted):
        train_tiny(tmp_path, stop_at(step))
    reporter = Recorder()
    assert_same(train_tiny(tmp_path, reporter), whole)
    assert reporter.done == reporter.total
    steps_an_epoch = 5
    assert reporter.steps == (4 - (step - 1) // steps_an_epoch) * steps_an_epoch


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    whole = train_tiny(tmp_path)
    reporter = Recorder()
    assert_same(train_tiny(tmp_path, reporter), whole)
    assert reporter.steps == 0
    assert reporter.done == reporter.total


def test_a_damaged_checkpoint_costs_one_epoch(tmp_path: Path) -> None:
    whole = train_tiny()
    with pytest.raises(Interrupted):
        train_tiny(tmp_path, stop_at(17))
    newest = max(tmp_path.glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1])
    reporter = Recorder()
    assert_same(train_tiny(tmp_path, reporter), whole)
    assert reporter.steps == 2 * 5


def test_no_resume_starts_over(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train_tiny(tmp_path, stop_at(12), seed=1)
    reporter = Recorder()
    assert_same(train_tiny(tmp_path, reporter, resume=False), train_tiny())
    assert reporter.steps == 4 * 5


def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    train_tiny(tmp_path, epochs=1)
    with pytest.raises(ConfigError, match=r"lr was 0\.1, is 0\.2; seed was 0, is 9") as caught:
        train_tiny(tmp_path, epochs=1, lr=0.2, seed=9)
    assert "--no-resume" in (caught.value.hint or "")


def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    """SIGKILL of a real process, twice, at moments of no choosing."""
    epochs = 60
    command = [sys.executable, "-m", "tests.features.tiny", str(tmp_path), str(epochs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = 0
    for delay in (0.0, 0.033):
        with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
            deadline = time.monotonic() + PATIENCE
            while _epochs_done(tmp_path) <= done + 1 and time.monotonic() < deadline:
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.01)
            time.sleep(delay)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        done = _epochs_done(tmp_path)
        assert 0 < done < epochs
    reporter = Recorder()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert_same(train_tiny(tmp_path, reporter, epochs=epochs), train_tiny(epochs=epochs))
    finally:
        torch.set_num_threads(threads)
    assert reporter.steps == (epochs - done) * 5


def _epochs_done(workspace: Path) -> int:
    numbers = [int(path.name[:8]) for path in workspace.glob("*.safetensors")]
    return max(numbers, default=-1) + 1


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    net = tiny_net()

    def poison(step: int) -> None:
        if step == 7:
            with torch.no_grad():
                net.classifier.bias[0] = math.nan

    with pytest.raises(ConfigError, match=r"loss became nan in epoch 2") as caught:
        train_classifier(
            net,
            *tiny_images(),
            tiny_settings(),
            0,
            workspace=tmp_path,
            reporter=Recorder(poison),
            device="cpu",
        )
    assert "lr (now 0.1)" in (caught.value.hint or "")
    restored = checkpoints.load(tmp_path)
    assert restored is not None
    assert restored[1]["epochs"] == 1


def test_a_rate_far_too_high_is_an_error_not_a_result() -> None:
    with pytest.raises(ConfigError, match="loss became"):
        train_tiny(lr=1e30, schedule="constant")


def test_a_lone_last_instance_does_not_break_batch_norm() -> None:
    """torchvision's ResNet18 has one pixel a channel left of a 32 x 32 picture."""
    rng = np.random.default_rng(0)
    inputs = ImageInputs(rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8))
    settings = tiny_settings(epochs=1, batch_size=4, feature_dim=8)
    net = build_baseline(settings, 3, 0)
    labels, roles = np.array([0, 1, 2, 0, 1]), np.zeros(5, dtype=np.int8)
    reporter = Recorder()
    train_classifier(net, inputs, labels, roles, settings, 0, reporter=reporter, device="cpu")
    assert reporter.steps == 1


def test_one_fitted_instance_is_not_enough() -> None:
    inputs, labels, _ = tiny_images(3)
    roles = np.array([FIT, SELECT, TEST], dtype=np.int8)
    with pytest.raises(InputError, match="1 instances to fit on"):
        train_classifier(tiny_net(), inputs, labels, roles, tiny_settings(), 0, device="cpu")


def test_bfloat16_trains_float32_weights() -> None:
    trained = train_tiny(precision="bfloat16", epochs=12)
    assert trained.precision == "bfloat16"
    assert trained.weights["conv.weight"].dtype == torch.float32
    assert trained.select_top1 > 0.9


def test_a_resumed_run_keeps_the_precision_that_auto_once_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a new measurement would say."""
    chosen = []
    for answer in ("bfloat16", "float32"):
        monkeypatch.setattr(classifier, "choose_precision", lambda *_, a=answer: a)
        run = TrainingRun(
            tiny_net(), *tiny_images(), tiny_settings(precision="auto"), 0, torch.device("cpu")
        )
        run.restore(tmp_path, resume=True)
        for _ in run.train_epoch():
            pass
        run.checkpoint(tmp_path)
        chosen.append(run.precision)
    assert chosen == ["bfloat16", "bfloat16"] and run.epochs == 2


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_apply_is_the_network_on_each_instance(batch_size: int) -> None:
    net, (inputs, _, _) = tiny_net(), tiny_images()
    reporter = Recorder()
    applied = apply(net, inputs, batch_size=batch_size, reporter=reporter)
    features, logits = applied.features, applied.logits
    np.testing.assert_array_equal(applied.first, logits)
    assert reporter.done == reporter.total == len(inputs)
    with torch.inference_mode():
        for i in range(len(inputs)):
            representation = net.represent(inputs.test_batch(np.array([i])))
            np.testing.assert_allclose(features[i], representation[0], rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(
                logits[i], net.classify(representation)[0], rtol=1e-4, atol=1e-6
            )


def test_views_of_a_picture_are_averaged_and_the_first_is_kept_apart() -> None:
    net, (inputs, _, _) = tiny_net(), tiny_images()
    several = replace(inputs, views=4)
    applied = apply(net, several, batch_size=8)
    for i in range(len(inputs)):
        with torch.inference_mode():
            views = net.represent(several.test_batch(np.array([i])))
            logits = net.classify(views)
        np.testing.assert_allclose(applied.features[i], views.mean(0), rtol=1e-4, atol=1e-6)
        joined = logits.softmax(1).mean(0).log()
        np.testing.assert_allclose(applied.logits[i], joined, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(applied.first[i], logits[0], rtol=1e-4, atol=1e-6)


def test_apply_refuses_a_broken_network() -> None:
    class Broken(TinyNet):
        def classify(self, representation: torch.Tensor) -> torch.Tensor:
            return super().classify(representation) * math.inf

    with pytest.raises(ConfigError, match="NaN or infinite"):
        apply(Broken(), tiny_images()[0])
