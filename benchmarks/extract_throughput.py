"""Training images a second: our input pipeline, the bare network, and a plain DataLoader.

Four loops train the same network by the same SGD on generated pictures, in turn, each in a process
of its own:

- ``bare``: one resident random batch, already normalised; nothing but the network;
- ``ours``: the loop of `rrnet extract` (decoded pictures; crop, flip, normalisation on the batch);
- ``dataloader``: a torchvision loop as tutorials have it (`ImageFolder` of PNG files, `RandomCrop`,
  `RandomHorizontalFlip`, `ToTensor`, `Normalize`, worker processes), torchvision's own network in
  float32, and nothing tuned;
- ``dataloader_tuned``: the same from pictures in memory, with our network, precision, memory layout
  and allocator: what is left is the workers alone.

Each round runs all four; rates are medians over rounds, ratios medians of the rounds' own ratios.
The result is JSON on stdout. Run it on an idle machine.

    python benchmarks/extract_throughput.py [--backbone resnet18] [--stem imagenet] [--steps 30]
        [--json PATH]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

from rrnet_cli.runtime import limit_threads, prepare

if "--loop=dataloader" in sys.argv:
    limit_threads()
else:
    prepare()  # as the command does, before torch is imported

import numpy as np
import torch
from PIL import Image
from shared.report import add_json, answer, emit, in_process, timed
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import get_model

from rrnet_cli.features.batches import ImageInputs
from rrnet_cli.features.classifier import TrainingRun, build_baseline
from rrnet_cli.features.precision import Precision, autocast
from rrnet_cli.settings import BaselineSettings

CLASSES = 10
WARM_UP = 6  # more than two workers' prefetched batches, which would be free
LOOPS = ("ours", "bare", "dataloader", "dataloader_tuned")  # `ours` first: it tells the precision


def augmentation(size: int) -> transforms.Compose:
    """Crop, flip and normalisation of one PIL picture."""
    return transforms.Compose(
        [
            transforms.RandomCrop(size, padding=max(1, size // 8)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )


class Pictures(Dataset[tuple[Tensor, int]]):
    """As torchvision's CIFAR10: a PIL picture an item, from an array in memory."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.transform = augmentation(images.shape[1])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def plain_step(
    model: nn.Module, settings: BaselineSettings, precision: Precision, *, channels_last: bool
) -> Callable[[Tensor, Tensor], None]:
    """Forward, loss, backward and update on a given float batch."""
    if channels_last:
        model = cast(Any, model).to(memory_format=torch.channels_last)
    model.train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1e-3, momentum=settings.momentum, weight_decay=settings.weight_decay
    )

    def step(batch: Tensor, target: Tensor) -> None:
        if channels_last:
            batch = batch.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with autocast(batch.device, precision):
            logits = model(batch)
        functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()

    return step


def bare(settings: BaselineSettings, precision: Precision, size: int) -> Iterator[object]:
    """Train on one resident batch for ever."""
    step = plain_step(build_baseline(settings, CLASSES, 0), settings, precision, channels_last=True)
    batch = torch.randn(settings.batch_size, 3, size, size)
    batch = batch.contiguous(memory_format=torch.channels_last)
    target = torch.randint(0, CLASSES, (settings.batch_size,))
    while True:
        yield step(batch, target)


def ours(run: TrainingRun) -> Iterator[object]:
    """Train epochs as the stage does, for ever."""
    while True:
        yield from run.train_epoch()


def dataloader(
    dataset: Dataset[tuple[Tensor, int]],
    step: Callable[[Tensor, Tensor], None],
    batch_size: int,
    workers: int,
) -> Iterator[object]:
    """Train from worker processes; they live as long as the iterator."""
    while True:
        loader = DataLoader(dataset, batch_size, shuffle=True, num_workers=workers, drop_last=True)
        for batch, target in loader:
            step(batch, target)
            yield None


def network_of(settings: BaselineSettings) -> nn.Module:
    """torchvision's own network; with the stem of `settings` where that is not its own."""
    if settings.stem == "imagenet":
        return get_model(settings.backbone, weights=None, num_classes=CLASSES)
    return build_baseline(settings, CLASSES, 0)


def measure(loop: Iterator[object], steps: int, batch_size: int) -> float:
    """Images a second over `steps`, after a warm-up."""
    for _ in islice(loop, WARM_UP):
        pass
    start = time.perf_counter()
    for _ in islice(loop, steps):
        pass
    return steps * batch_size / (time.perf_counter() - start)


def generate(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and labels for an epoch that holds a round: to start one is not timed."""
    rng = np.random.default_rng(0)
    count = (options.steps + WARM_UP + 4) * options.batch_size
    images = rng.integers(0, 256, (count, options.size, options.size, 3), dtype=np.uint8)
    return images, rng.integers(0, CLASSES, count)


def write_folder(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """PNG files, a folder a class."""
    for label in range(CLASSES):
        (folder / str(label)).mkdir()
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        Image.fromarray(pixels).save(folder / str(label) / f"{number}.png")


def run_loop(options: argparse.Namespace) -> dict[str, object]:
    """One loop in this process: its rate, and what else only this process can tell."""
    settings = BaselineSettings(
        backbone=options.backbone,
        stem=options.stem,
        batch_size=options.batch_size,
        lr=1e-3,
        precision=options.precision,
    )
    images, labels = generate(options)
    facts: dict[str, object] = {}
    precision = options.precision
    if options.loop == "ours":
        inputs = ImageInputs(images)
        model = build_baseline(settings, CLASSES, 0)
        roles = np.zeros(len(images), dtype=np.int8)
        run = TrainingRun(model, inputs, labels, roles, settings, 0, torch.device("cpu"))
        loop = ours(run)
        index = np.arange(options.batch_size)
        rng = np.random.default_rng(0)
        seconds = min(timed(lambda: inputs.train_batch(index, rng)) for _ in range(20))
        facts = {"precision": run.precision, "crop_and_flip_ms": round(seconds * 1e3, 3)}
    elif options.loop == "bare":
        loop = bare(settings, precision, options.size)
    elif options.loop == "dataloader":
        step = plain_step(network_of(settings), settings, "float32", channels_last=False)
        dataset = ImageFolder(options.folder, augmentation(options.size))
        loop = dataloader(dataset, step, options.batch_size, options.workers)
    else:
        model = build_baseline(settings, CLASSES, 0)
        step = plain_step(model, settings, precision, channels_last=True)
        loop = dataloader(Pictures(images, labels), step, options.batch_size, options.workers)
    return {"rate": measure(loop, options.steps, options.batch_size), **facts}


def main() -> None:
    options = parse()
    if options.loop:
        answer(run_loop(options))
        return
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), *generate(options))
        facts: dict[str, object] = {}
        for number in range(options.rounds):
            rates = {}
            for name in LOOPS:
                found = run_apart(name, folder, options, facts)
                rates[name] = float(str(found.pop("rate")))
                facts |= found
            rounds.append(rates)
            sys.stderr.write(f"round {number + 1}/{options.rounds}: {rates}\n")
    emit(report(options, rounds, facts), options)


def run_apart(
    name: str, folder: str, options: argparse.Namespace, facts: dict[str, object]
) -> dict[str, object]:
    """Run one loop in a fresh process; `bare` and `dataloader_tuned` in the precision of `ours`."""
    words = [f"--loop={name}", f"--folder={folder}"]
    for key in ("backbone", "stem", "batch_size", "steps", "size", "workers"):
        words.append(f"--{key.replace('_', '-')}={getattr(options, key)}")
    words.append(f"--precision={facts.get('precision', options.precision)}")
    return in_process(__file__, *words)


def report(
    options: argparse.Namespace, rounds: list[dict[str, float]], facts: dict[str, object]
) -> dict[str, object]:
    def ratio(over: str, under: str) -> float:
        return round(statistics.median(each[over] / each[under] for each in rounds), 3)

    shown = {k: v for k, v in vars(options).items() if k not in ("loop", "folder", "json")}
    return {
        "options": shown,
        **facts,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "images_per_second": {
            name: round(statistics.median(each[name] for each in rounds), 1) for name in LOOPS
        },
        "overhead_over_bare": round(ratio("bare", "ours") - 1, 3),
        "speedup_over_dataloader": ratio("ours", "dataloader"),
        "speedup_over_dataloader_tuned": ratio("ours", "dataloader_tuned"),
        "wanted": {"overhead_over_bare": "<= 0.10", "speedup_over_dataloader": ">= 1.5"},
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--backbone", default="resnet18", choices=["resnet18", "resnet50", "mobilenet_v2"]
    )
    parser.add_argument("--stem", default="imagenet", choices=["imagenet", "cifar"])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=30, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=32, help="side of the pictures")
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--loop", choices=LOOPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
