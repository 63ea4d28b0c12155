"""Small mapping problems with something to learn."""

from __future__ import annotations

from dataclasses import replace

import dgl
import numpy as np
import torch

from rrnet_cli.datasets.base import FIT, HOLD, SELECT, TEST
from rrnet_cli.features.rating_bias import RatingTable, fit_bias
from rrnet_cli.settings import TrainSettings
from rrnet_cli.training.problem import Problem, assemble

SIDES = ("image", "text")


def classification(
    seed: int = 0, num_left: int = 60, num_labels: int = 4, num_candidates: int = 3
) -> Problem:
    """Instances around their label's vector, noisy priors, k=3 neighbours by chance."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_left) % num_labels
    text = torch.randn(num_labels, 6, generator=generator)
    image = text[labels] + 0.3 * torch.randn(num_left, 6, generator=generator)
    prior = torch.log_softmax(torch.randn(num_left, num_labels, generator=generator), dim=1)
    dst = prior.topk(num_candidates, dim=1).indices.flatten()
    src = torch.arange(num_left).repeat_interleave(num_candidates)
    order = torch.argsort(dst * num_left + src)
    src, dst = src[order], dst[order]
    neighbours = torch.randint(0, num_left, (num_left * 3,), generator=generator)
    graph = dgl.heterograph(
        {
            ("image", "intra", "image"): (neighbours, torch.arange(num_left).repeat_interleave(3)),
            ("image", "inter", "text"): (src, dst),
        },
        {"image": num_left, "text": num_labels},
    )
    role = torch.tensor([FIT, FIT, FIT, SELECT, TEST], dtype=torch.int8).repeat(num_left)[:num_left]
    graph.edges["intra"].data["weight"] = torch.rand(num_left * 3, generator=generator)
    data = graph.edges["inter"].data
    data["weight"] = torch.ones(len(src))
    data["prior"] = prior[src, dst]
    data["role"] = role[src]
    target = (labels[src] == dst).float()
    data["target"] = torch.where(role[src] == TEST, torch.nan, target)
    return assemble(graph, SIDES, {"image": image, "text": text}, None, "standard")


def rating(
    seed: int = 0, num_users: int = 20, num_items: int = 15, shift: torch.Tensor | None = None
) -> Problem:
    """Half of all pairs rated 1-5 by user and item bias; `shift` is added to the ratings."""
    generator = torch.Generator().manual_seed(seed)
    bias_user = torch.randn(num_users, 1, generator=generator)
    bias_item = torch.randn(1, num_items, generator=generator)
    rated = torch.rand(num_users, num_items, generator=generator) < 0.5
    user, item = rated.nonzero(as_tuple=True)
    value = (3 + bias_user + bias_item)[user, item].clamp(1, 5)
    order = torch.argsort(item * num_users + user)
    user, item, value = user[order], item[order], value[order]
    if shift is not None:
        value = (value + shift).clamp(1, 5)
    graph = dgl.heterograph(
        {("user", "inter", "item"): (user, item)}, {"user": num_users, "item": num_items}
    )
    role = (torch.arange(len(user)) % 5).clamp_max(2).to(torch.int8)
    role = torch.tensor([FIT, SELECT, TEST], dtype=torch.int8)[2 - role.long()]
    data = graph.edges["inter"].data
    data["weight"] = torch.ones(len(user))
    data["prior"] = torch.full((len(user),), 3.0)
    data["role"] = role
    data["target"] = torch.where(role == TEST, torch.nan, value)
    features = {
        "user": torch.rand(num_users, 8, generator=generator),
        "item": torch.rand(num_items, 8, generator=generator),
    }

    def refit(known: np.ndarray) -> np.ndarray:
        table = RatingTable(user.numpy()[known], item.numpy()[known], data["target"].numpy()[known])
        model = fit_bias(table, num_users, num_items, scale=(1.0, 5.0), user_reg=1.0, item_reg=1.0)
        return model.predict(user.numpy(), item.numpy())

    return assemble(graph, ("user", "item"), features, (1.0, 5.0), "standard", refit)


def held(problem: Problem, share: float = 0.3) -> Problem:
    """The problem with some of its fitted instances (or ratings) held, one at least."""
    owner = torch.arange(len(problem.role)) if problem.is_rating else problem.owner
    chosen = torch.rand(len(owner), generator=torch.Generator().manual_seed(0)) < share
    chosen[owner[problem.role == FIT][0]] = True
    role = torch.where(chosen[owner] & (problem.role == FIT), HOLD, problem.role)
    return replace(problem, role=role.to(torch.int8))


def small(**changes: object) -> TrainSettings:
    return TrainSettings.model_validate(
        {"hidden": 8, "epochs": 12, "units": ("intra", "inter"), **changes}
    )


PLUS_SMALL = {
    "optimizer": "adamw",
    "lr": 0.01,
    "prior": "residual",
    "context": True,
    "refit_prior": True,
}
