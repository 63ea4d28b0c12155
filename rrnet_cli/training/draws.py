"""What one epoch shows and what it supervises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rrnet_cli.datasets.base import FIT, HOLD
from rrnet_cli.errors import ConfigError
from rrnet_cli.training.problem import Problem

if TYPE_CHECKING:
    from rrnet_cli.settings import TrainSettings


@dataclass(frozen=True)
class Draw:
    """Who plays which part in one epoch.

    Attributes:
        known: (num_inter_edges,) bool, whose targets are shown.
        supervised: (num_inter_edges,) bool, disjoint from `known`.
        prior: (num_inter_edges,) that goes with the shown targets.
    """

    known: Tensor
    supervised: Tensor
    prior: Tensor


class Draws:
    """The draws of a training: a new one every epoch or, under `refits`, a few in turn.

    Fitting a baseline anew may take longer than an epoch, so a few masks are drawn once and the
    prior that goes with each is kept. They depend on the seed alone, not on what was drawn before:
    a training that goes on from a checkpoint meets the same ones.
    """

    def __init__(self, problem: Problem, settings: TrainSettings) -> None:
        self.problem, self.settings = problem, settings
        self._kept: dict[int, Draw] = {}

    @property
    def at_rest(self) -> bool:
        """Whether every draw shows what is shown outside training, with the same prior."""
        return not self.settings.context or bool((self.problem.role == HOLD).any())

    def of(self, epoch: int) -> Draw:
        """The draw of an epoch, counted from 1."""
        refits = self.settings.refits
        if refits is None or not _refits(self.problem, self.settings):
            return draw(self.problem, self.settings)
        number = (epoch - 1) % refits
        if number not in self._kept:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.settings.seed * refits + number)
                self._kept[number] = draw(self.problem, self.settings)
        return self._kept[number]


def draw(problem: Problem, settings: TrainSettings) -> Draw:
    """Split the edges of known target into shown and supervised ones.

    Held edges, where there are any, all supervise, and the fitted ones are shown as at rest: what
    trains is then what is met outside training. Without them fitted edges do both: a whole instance
    (or one rating) is masked at a time, so that its own target never stands in its input. Without
    context nothing is shown and everything supervises.

    The prior of a shown rating was fitted with the masked ratings of its user and its item in, so
    beside that rating it gives them away: the network would learn to read them off, which helps
    nowhere else. With `refit_prior` the baseline is fitted on the shown ratings alone.

    Raises:
        ConfigError: Nothing is shown that a baseline could be fitted on.
    """
    fit, held = problem.role == FIT, problem.role == HOLD
    if held.any():
        return Draw(problem.shown_at_rest(settings), held, problem.prior)
    if not settings.context:
        return Draw(torch.zeros_like(fit), fit, problem.prior)
    if problem.is_rating:
        masked = torch.rand(fit.shape) < settings.mask_rate
    else:
        masked = (torch.rand(problem.num_left) < settings.mask_rate)[problem.owner]
    known = fit & ~masked
    if problem.refit is None or not settings.refit_prior:
        return Draw(known, fit & masked, problem.prior)
    if not known.any():
        raise ConfigError(
            "everything is masked, so there is nothing to fit the baseline on anew",
            f"lower mask_rate (now {settings.mask_rate:g}), or --set refit_prior=false",
        )
    return Draw(known, fit & masked, problem.refit(known))


def _refits(problem: Problem, settings: TrainSettings) -> bool:
    """Whether a draw has a prior of its own."""
    held = bool((problem.role == HOLD).any())
    return problem.refit is not None and settings.context and settings.refit_prior and not held
