from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rrnet_cli.datasets.base import FIT, HOLD
from rrnet_cli.errors import DivergedError
from rrnet_cli.models.rrnet import RRNet
from rrnet_cli.progress import SilentReporter
from rrnet_cli.training import checkpoints, loop
from rrnet_cli.training.draws import Draws
from rrnet_cli.training.network import Network
from rrnet_cli.training.problem import Problem

from .problems import PLUS_SMALL, classification, held, rating, small

CASES = {
    "paper": (classification, {}),
    "plus": (classification, {**PLUS_SMALL, "objective": "softmax"}),
    "rating": (rating, {"units": ("inter", "inter")}),
    "rating plus": (rating, {**PLUS_SMALL, "units": ("inter", "inter"), "refit_prior": False}),
    "sampled": (
        classification,
        {**PLUS_SMALL, "objective": "softmax", "batch_size": 10, "fanout": (2, 2)},
    ),
    "rating sampled": (
        rating,
        {
            **PLUS_SMALL,
            "units": ("inter", "inter"),
            "refit_prior": False,
            "batch_size": 7,
            "fanout": (3, 3),
        },
    ),
}
RESUMED = {
    **CASES,
    "no units": (classification, {**PLUS_SMALL, "units": ()}),
    # ratings by user and item bias, which a refitted prior explains: nothing is left to learn
    "rating refit": (
        rating,
        {
            **PLUS_SMALL,
            "units": ("inter", "inter"),
            "attributes": "degree",
        },
    ),
}


class Interrupt(Exception):
    """Stands for a kill at an epoch's end."""


class InterruptingReporter(SilentReporter):
    """Stops the run after some epochs, once their checkpoint is written."""

    def __init__(self, after: int) -> None:
        self.left = after

    def task(self, *args: object, **kwargs: object) -> InterruptingReporter:
        return self

    def __enter__(self) -> InterruptingReporter:
        return self

    def __exit__(self, *details: object) -> None:
        return None

    def advance(self, steps: int = 1, status: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise Interrupt


def run(
    problem: Problem, settings: loop.TrainSettings, folder: Path | None, after: int = -1
) -> tuple[Network, loop.Progress]:
    return loop.fit(
        problem, settings, workspace=folder, resume=True, reporter=InterruptingReporter(after)
    )


def same(first: tuple[Network, loop.Progress], second: tuple[Network, loop.Progress]) -> bool:
    weights = zip(first[0].state_dict().items(), second[0].state_dict().items(), strict=True)
    return first[1].history == second[1].history and all(
        a == b and torch.equal(x, y) for (a, x), (b, y) in weights
    )


@pytest.mark.parametrize("case", RESUMED)
def test_interrupted_and_resumed_equals_uninterrupted_to_the_bit(case: str, tmp_path: Path) -> None:
    make, changes = RESUMED[case]
    settings, problem = small(**changes), make()
    whole = run(problem, settings, None)
    for stop in (1, 5):
        with pytest.raises(Interrupt):
            run(problem, settings, tmp_path / str(stop), after=stop)
        torch.manual_seed(999)  # the state of the generator must come from the checkpoint
        assert same(run(problem, settings, tmp_path / str(stop)), whole)
    assert not same(run(problem, settings.model_copy(update={"seed": 1}), None), whole)


@pytest.mark.parametrize("case", CASES)
def test_training_lowers_the_loss(case: str) -> None:
    make, changes = CASES[case]
    _, progress = run(make(), small(**changes, epochs=60), None)
    losses = [row["loss"] for row in progress.history[1:]]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_best_select_epoch_is_kept_not_the_last() -> None:
    problem = classification()
    settings = small(epochs=60)
    network, progress = run(problem, settings, None)
    merits = [(row["select_top1"], -row["select_nll"]) for row in progress.history]
    best = progress.best_row
    assert (best["select_top1"], -best["select_nll"]) == max(merits)
    again = loop.evaluate(network, problem)
    assert again["select_nll"] == pytest.approx(best["select_nll"], rel=1e-6)


def test_plus_starts_at_the_baseline() -> None:
    problem = classification()
    settings = small(**PLUS_SMALL, objective="softmax")
    torch.manual_seed(0)
    logits = Network(problem, settings).predict(problem)
    torch.testing.assert_close(logits, problem.prior, rtol=0, atol=0)


def test_patience_stops_early() -> None:
    _, progress = run(classification(), small(epochs=500, patience=7, lr=1e-12), None)
    assert progress.epochs == int(progress.best_row["epoch"]) + 7 < 500


def test_a_loss_that_explodes_stops_with_the_epoch_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    settings = small(lr=1e25, clip_norm=None, epochs=50)
    with pytest.raises(DivergedError, match=r"became (nan|inf) at epoch (\d+)") as caught:
        run(classification(), settings, tmp_path)
    epoch = int(re.search(r"epoch (\d+)", caught.value.message)[1])
    restored = checkpoints.load(tmp_path)
    assert (restored is None) == (epoch == 1)
    if restored is not None:
        assert restored[1]["epochs"] == epoch - 1
        assert all(bool(t.isfinite().all()) for n, t in restored[0].items() if n[:5] == "best/")


@pytest.mark.parametrize("case", CASES)
def test_test_targets_change_nothing(case: str) -> None:
    """Whatever stands in the targets of test edges, weights and predictions are bit-identical."""
    make, changes = CASES[case]
    settings = small(**changes)
    clean, poisoned = make(), make()
    poisoned.target[poisoned.role == 2] = torch.rand(int((poisoned.role == 2).sum()))
    first, second = run(clean, settings, None), run(poisoned, settings, None)
    assert same(first, second)
    assert torch.equal(first[0].predict(clean), second[0].predict(poisoned))
    # the same change on fitted edges is seen: the test above can fail
    poisoned.target[poisoned.role == 0] = torch.rand(int((poisoned.role == 0).sum()))
    assert not same(first, run(poisoned, settings, None))


@pytest.mark.parametrize("case", CASES)
def test_fitted_targets_do_not_supervise_beside_held_ones(case: str) -> None:
    """They are context or nothing; held ones are no input, so only the loss reads them."""
    make, changes = CASES[case]
    settings = small(**{**changes, "context": False})
    clean, other = held(make()), held(make())
    fitted, supervising = other.role == FIT, other.role == HOLD
    other.target[fitted] = torch.rand(int(fitted.sum()))
    first = run(clean, settings, None)
    assert same(first, run(other, settings, None))
    # what is shown on one edge reaches the others by the nodes that two inter units join
    shown = small(**{**changes, "context": True, "units": ("inter", "inter")})
    assert not same(run(clean, shown, None), run(other, shown, None))
    other.target[supervising] = torch.rand(int(supervising.sum()))
    assert not same(first, run(other, settings, None))


@pytest.mark.parametrize(
    ("make", "more"),
    [
        (classification, {}),
        (rating, {"units": ("inter", "inter")}),
        (lambda: held(classification()), {**PLUS_SMALL, "objective": "softmax"}),
    ],
    ids=["paper", "rating", "held"],
)
def test_one_forward_pass_serves_the_metrics_and_the_next_step(
    make: Callable[[], Problem], more: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, settings, passes = make(), small(epochs=4, **more), []
    whole = RRNet.forward

    def counted(*args: Any) -> Any:
        passes.append(torch.is_grad_enabled())
        return whole(*args)

    monkeypatch.setattr(RRNet, "forward", counted)
    results = []
    for at_rest in (True, False):
        if not at_rest:
            monkeypatch.setattr(Draws, "at_rest", False)
        fitted = loop.fit(
            problem, settings, workspace=None, resume=False, reporter=SilentReporter()
        )
        results.append(fitted[1].history)
    assert passes == [True] * 5 + [False, *[True, False] * 4]
    assert results[0] == results[1]
