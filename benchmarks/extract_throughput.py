"""Training images a second: our input pipeline, the bare network, and a plain DataLoader.

Four loops train the same network by the same SGD on generated pictures, in turn, in one process:

- ``bare``: one resident random batch, already normalised; nothing but the network;
- ``ours``: the loop of `rrnet extract` (crop, flip and normalisation on the batch);
- ``dataloader``: a torchvision loop as tutorials have it (PIL pictures, `RandomCrop`,
  `RandomHorizontalFlip`, `ToTensor`, `Normalize`, worker processes, float32, default layout);
- ``dataloader_tuned``: the same in our precision and memory layout.

Each round runs all four; rates are medians over rounds, ratios medians of the rounds' own ratios.
The result is JSON on stdout. Run it on an idle machine.

    python benchmarks/extract_throughput.py [--backbone resnet18] [--stem imagenet] [--steps 30]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice

from rrnet_cli.runtime import prepare

prepare()  # as the command does, before torch is imported

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402
from torchvision import transforms  # noqa: E402

from rrnet_cli.features.batches import ImageInputs  # noqa: E402
from rrnet_cli.features.classifier import TrainingRun, build_baseline  # noqa: E402
from rrnet_cli.settings import BaselineSettings  # noqa: E402

CLASSES = 10
WARM_UP = 6  # more than two workers' prefetched batches, which would be free
Step = Callable[[], object]


class Pictures(Dataset[tuple[Tensor, int]]):
    """As torchvision's CIFAR10: a PIL picture an item."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        size = images.shape[1]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(size, padding=ImageInputs(images).pad),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def plain_step(
    settings: BaselineSettings, precision: str, *, channels_last: bool
) -> Callable[[Tensor, Tensor], None]:
    """Forward, loss, backward and update on a given float batch."""
    model: nn.Module = build_baseline(settings, CLASSES, 0)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    model.train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1e-3, momentum=settings.momentum, weight_decay=settings.weight_decay
    )

    def step(batch: Tensor, target: Tensor) -> None:
        if channels_last:
            batch = batch.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(batch)
        functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()

    return step


def bare(settings: BaselineSettings, precision: str, size: int) -> Iterator[object]:
    """Train on one resident batch for ever."""
    step = plain_step(settings, precision, channels_last=True)
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
    settings: BaselineSettings, precision: str, pictures: Pictures, workers: int, *, tuned: bool
) -> Iterator[object]:
    """Train from worker processes; they live as long as the iterator."""
    step = plain_step(settings, precision if tuned else "float32", channels_last=tuned)
    while True:
        loader = DataLoader(
            pictures, settings.batch_size, shuffle=True, num_workers=workers, drop_last=True
        )
        for batch, target in loader:
            yield step(batch, target)


def measure(loop: Iterator[object], steps: int, batch_size: int) -> float:
    """Images a second over `steps`, after a warm-up."""
    for _ in islice(loop, WARM_UP):
        pass
    start = time.perf_counter()
    for _ in islice(loop, steps):
        pass
    return steps * batch_size / (time.perf_counter() - start)


def main() -> None:
    options = parse()
    settings = BaselineSettings(
        backbone=options.backbone,
        stem=options.stem,
        batch_size=options.batch_size,
        lr=1e-3,
        precision=options.precision,
    )
    rng = np.random.default_rng(0)
    # An epoch that holds a round: starting one (an order, worker processes) is not timed.
    count = (options.steps + WARM_UP + 4) * options.batch_size
    size = options.size
    images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    labels, roles = rng.integers(0, CLASSES, count), np.zeros(count, dtype=np.int8)
    inputs = ImageInputs(images)
    device = torch.device("cpu")
    model = build_baseline(settings, CLASSES, 0)
    run = TrainingRun(model, inputs, labels, roles, settings, 0, device)
    pictures = Pictures(images, labels)
    loops: dict[str, Callable[[], Iterator[object]]] = {
        "bare": lambda: bare(settings, run.precision, size),
        "ours": lambda: ours(run),
        "dataloader": lambda: dataloader(
            settings, run.precision, pictures, options.workers, tuned=False
        ),
        "dataloader_tuned": lambda: dataloader(
            settings, run.precision, pictures, options.workers, tuned=True
        ),
    }
    rounds: list[dict[str, float]] = []
    for number in range(options.rounds):
        rates = {}
        for name, make in loops.items():
            loop = make()
            rates[name] = measure(loop, options.steps, options.batch_size)
            del loop  # ends its worker processes
        rounds.append(rates)
        sys.stderr.write(f"round {number + 1}/{options.rounds}: {rates}\n")
    index = rng.permutation(count)[: options.batch_size]
    seconds = min(timed(lambda: inputs.train_batch(index, rng)) for _ in range(20))
    print(json.dumps(report(options, run.precision, rounds, seconds), indent=2))


def timed(work: Step) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(
    options: argparse.Namespace, precision: str, rounds: list[dict[str, float]], seconds: float
) -> dict[str, object]:
    def ratio(over: str, under: str) -> float:
        return round(statistics.median(each[over] / each[under] for each in rounds), 3)

    return {
        "options": vars(options),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "images_per_second": {
            name: round(statistics.median(each[name] for each in rounds), 1) for name in rounds[0]
        },
        "crop_and_flip_ms_per_batch": round(seconds * 1e3, 3),
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
    return parser.parse_args()


if __name__ == "__main__":
    main()
