"""The loop by two processes against the loop by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rrnet_cli.progress import SilentReporter
from rrnet_cli.training import loop
from rrnet_cli.training.draws import draw
from rrnet_cli.training.network import Network
from rrnet_cli.training.problem import Problem
from rrnet_cli.training.processes import ALONE, Group
from rrnet_cli.training.sampling import Batch, batches

from .problems import PLUS_SMALL, classification, rating, small
from .together import together

# SGD: Adam makes whole steps of gradients that are rounding alone
SAMPLED = {"batch_size": 7, "fanout": (-1, -1), "optimizer": "sgd"}
PLUS = {**PLUS_SMALL, **SAMPLED, "objective": "softmax", "clip_norm": 1.0}
RATED = {**PLUS_SMALL, **SAMPLED, "units": ("inter", "inter"), "refit_prior": False}
CASES: dict[str, tuple[Callable[[], Problem], dict[str, object]]] = {
    "paper": (classification, SAMPLED),  # eq. (9) is a sum
    "plus": (classification, PLUS),
    "rating": (rating, {**RATED, "reduction": "mean"}),
}
"""All neighbours as far as the stack reads: what a process samples changes nothing."""
NOISY = {
    **PLUS_SMALL,
    **{"context": False, "lr": 0.001, "objective": "softmax", "batch_size": 8, "fanout": (2, 2)},
}
DIFFER = 1e-4


def first_gradients(case: str, group: Group) -> list[Any]:
    """Loss and gradients of every batch of an epoch, at the same weights."""
    make, changes = CASES[case]
    torch.manual_seed(4)
    problem, settings = make(), small(**changes)
    network = Network(problem, settings)
    for parameter in network.parameters():  # a residual decoder starts at zero
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    drawn = draw(problem, settings)
    inputs = network.inputs(problem, drawn.known, drawn.prior)
    whole = Batch(
        type(inputs)(
            inputs.relations,
            {side: value.detach() for side, value in inputs.node_feat.items()},
            inputs.edge_inputs,
            inputs.offset,
        ),
        problem.target,
        drawn.supervised,
        problem.candidates,
    )
    found = []
    size = min(11, len(problem.owner[drawn.supervised].unique()) // 2)
    parts = batches(whole, problem.owner, size, (-1, -1), network.settings.units, group)
    for batch in parts:
        network.zero_grad()
        value = loop.gradients(network, batch, group)
        found.append([value, [each.grad for each in network.parameters()]])
    return found


def many() -> Problem:
    return classification(num_left=300)


def fitted(case: str, group: Group, epochs: int, folder: Path | None = None) -> dict[str, Any]:
    make, changes = CASES.get(case, (many, NOISY))
    settings = small(**{**changes, "epochs": epochs})
    network, progress = loop.fit(
        make(),
        settings,
        workspace=folder,
        resume=True,
        reporter=SilentReporter(),
        group=group,
    )
    return {
        "history": [dict(row) for row in progress.history],
        "weights": dict(network.state_dict()),
        "next": torch.rand(3),
    }


def by_two(group: Group, folder: str) -> dict[str, Any]:
    """What the tests below look at, in one start of the processes."""
    found: dict[str, Any] = {f"{case} gradients": first_gradients(case, group) for case in CASES}
    found |= {case: fitted(case, group, 1) for case in CASES}
    found["noisy"] = fitted("noisy", group, 12)
    found["of one"] = fitted("plus", group, 3, Path(folder))
    fitted("noisy", group, 5, Path(folder) / "own")
    found["of two"] = fitted("noisy", group, 12, Path(folder) / "own")
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("checkpoints")
    fitted("plus", ALONE, 2, folder)
    return together(2, by_two, str(folder))


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_of_a_shared_batch_is_that_of_the_batch(
    found: list[dict[str, Any]], case: str
) -> None:
    expected = first_gradients(case, ALONE)
    assert len(expected) > 1
    for each in found:
        for (ours, shared), (loss, gradients) in zip(
            each[f"{case} gradients"], expected, strict=True
        ):
            assert ours == pytest.approx(loss, rel=1e-5)
            for some, whole in zip(shared, gradients, strict=True):
                assert (some is None) == (whole is None)
                if whole is not None:
                    assert (some - whole).norm() <= 1e-5 * whole.norm() + 1e-7


def curve(history: list[dict[str, Any]], name: str) -> Any:
    return np.array([row[name] for row in history if row[name] is not None])


@pytest.mark.parametrize("case", CASES)
def test_an_epoch_is_that_of_one_process_where_sampling_leaves_nothing_out(
    found: list[dict[str, Any]], case: str
) -> None:
    alone, first = fitted(case, ALONE, 1), found[0][case]
    for name in alone["history"][1]:
        ours, theirs = curve(first["history"], name), curve(alone["history"], name)
        np.testing.assert_allclose(ours, theirs, rtol=DIFFER, atol=DIFFER)
    for name, value in alone["weights"].items():
        torch.testing.assert_close(first["weights"][name], value, rtol=DIFFER, atol=DIFFER)


@pytest.mark.parametrize("case", [*CASES, "noisy", "of one", "of two"])
def test_processes_stay_in_step(found: list[dict[str, Any]], case: str) -> None:
    first, second = found[0][case], found[1][case]
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name])
    assert torch.equal(first["next"], second["next"]), "the state of the generator"
    assert first["history"] == second["history"]


def test_the_curves_of_sampled_training_agree_within_noise(found: list[dict[str, Any]]) -> None:
    alone = curve(fitted("noisy", ALONE, 12)["history"], "loss")
    ours = curve(found[0]["noisy"]["history"], "loss")
    assert ours[-3:].mean() < ours[:2].mean(), "it learns"
    assert not np.array_equal(ours, alone), "each process draws samples of its own"
    # three other orders of one process differ from its own by 0.08 to 0.09 at most
    assert abs(ours - alone).max() < 0.2 * alone.mean()


def test_two_processes_go_on_from_the_checkpoint_of_one(found: list[dict[str, Any]]) -> None:
    alone, ours = fitted("plus", ALONE, 3), found[0]["of one"]
    assert ours["history"][:3] == alone["history"][:3]
    loss = curve(ours["history"], "loss"), curve(alone["history"], "loss")
    np.testing.assert_allclose(*loss, rtol=DIFFER)


def test_an_interrupted_training_of_two_ends_as_if_it_had_not_been(
    found: list[dict[str, Any]],
) -> None:
    resumed, straight = found[0]["of two"], found[0]["noisy"]
    assert resumed["history"] == straight["history"]
    for name, value in straight["weights"].items():
        assert torch.equal(resumed["weights"][name], value)
