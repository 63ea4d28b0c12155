"""The rating peers: predictions and objectives against loops, gradients against differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rrnet_cli.evaluation.peers import lightgcn, mf, socialmf, soreg, trustmf, trustsvd
from rrnet_cli.evaluation.peers.registry import PEERS, peers
from rrnet_cli.features.factors import Damping, Factors, fit_factors
from rrnet_cli.features.rating_bias import RatingTable, fit_bias
from rrnet_cli.features.rating_data import RatingData
from rrnet_cli.progress import SilentReporter

DIM, REG, SOCIAL = 3, 0.3, 0.7
DAMPING = Damping(users=2.0, items=5.0, factors=REG)


def tiny(seed: int = 0, num_users: int = 12, num_items: int = 9) -> RatingData:
    """Ratings by bias and one taste; user 0 and item 0 have none to fit."""
    rng = np.random.default_rng(seed)
    taste, kind = rng.normal(size=num_users), rng.normal(size=num_items)
    pairs = rng.permutation((num_users - 1) * (num_items - 1))[:60]
    user, item = pairs // (num_items - 1) + 1, pairs % (num_items - 1) + 1
    rating = np.clip(3 + taste[user] * kind[item] + 0.1 * rng.normal(size=60), 1, 5)
    one, other = rng.integers(0, num_users, (2, 10))
    links = np.stack([one, other])[:, one != other]
    return RatingData(
        num_users, num_items, (1.0, 5.0),
        user[:45], item[:45], rating[:45].astype(np.float32),
        user[45:], item[45:], rating[45:].astype(np.float32),
        np.concatenate([links, links[::-1]], axis=1),
    )  # fmt: skip


def models(data: RatingData, damping: Damping = DAMPING) -> dict[str, Factors]:
    torch.manual_seed(0)
    built: dict[str, Factors] = {
        "mf": mf.BiasedFactors(data, DIM, damping),
        "soreg": soreg.SoReg(data, DIM, damping, SOCIAL),
        "socialmf": socialmf.SocialMF(data, DIM, damping, SOCIAL),
        "trustmf": trustmf.TrustMF(data, DIM, damping, SOCIAL),
        "trustsvd": trustsvd.TrustSVD(data, DIM, damping, SOCIAL),
        "lightgcn": lightgcn.LightGCN(data, DIM, damping, 2),
    }
    for model in built.values():
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return built


NAMES = ("mf", "soreg", "socialmf", "trustmf", "trustsvd", "lightgcn")


def array(parameter: torch.Tensor) -> np.ndarray:
    return parameter.detach().double().numpy()


def squares(values: np.ndarray, ends: np.ndarray) -> float:
    """λ Σ sqrt(count) |v|², by a loop."""
    total = 0.0
    for row, value in enumerate(values):
        total += max(1, int((ends == row).sum())) ** 0.5 * float(np.square(value).sum())
    return REG * total


def expected_sides(name: str, model: Factors, data: RatingData) -> tuple[np.ndarray, np.ndarray]:
    if name == "trustmf":
        left = np.stack(
            [(array(model.truster)[u] + array(model.trusted)[u]) / 2 for u in range(data.num_users)]
        )
        return left, array(model.right)
    left, right = array(model.left), array(model.right)
    if name == "trustsvd":
        summed = left.copy()
        for u in range(data.num_users):
            rated = data.item[data.user == u]
            trusted = data.links[1][data.links[0] == u]
            for i in rated:
                summed[u] += array(model.implicit)[i] / len(rated) ** 0.5
            for v in trusted:
                summed[u] += array(model.trusted)[v] / len(trusted) ** 0.5
        return summed, right
    if name == "lightgcn":
        adjacency = np.zeros((data.num_users, data.num_items))
        adjacency[data.user, data.item] = 1
        scale = np.outer(adjacency.sum(1).clip(1) ** -0.5, adjacency.sum(0).clip(1) ** -0.5)
        walk = adjacency * scale
        lefts, rights = [left], [right]
        for _ in range(2):
            lefts, rights = [*lefts, walk @ rights[-1]], [*rights, walk.T @ lefts[-1]]
        return np.mean(lefts, axis=0), np.mean(rights, axis=0)
    return left, right


def expected_penalty(name: str, model: Factors, data: RatingData) -> float:
    truster, trustee = data.links
    if name == "trustmf":
        b, w = array(model.truster), array(model.trusted)
        total = (
            squares(b, data.user) + squares(w, data.user) + squares(array(model.right), data.item)
        )
        return total + SOCIAL * sum(
            (b[u] @ w[v] - 1) ** 2 for u, v in zip(truster, trustee, strict=True)
        )
    p, q = array(model.left), array(model.right)
    if name == "trustsvd":
        w, y = array(model.trusted), array(model.implicit)
        total = squares(p, data.user) + squares(q, data.item)
        for u in data.user:  # at every rating, all y and all w of its user
            for i in data.item[data.user == u]:
                total += REG * float(np.square(y[i]).sum()) / (data.item == i).sum() ** 0.5
            for v in trustee[truster == u]:
                total += REG * float(np.square(w[v]).sum()) / (trustee == v).sum() ** 0.5
        for u, v in zip(truster, trustee, strict=True):
            own = float(np.square(p[u]).sum()) / (truster == u).sum() ** 0.5
            total += SOCIAL * ((p[u] @ w[v] - 1) ** 2 + own)
        return total
    total = squares(p, data.user) + squares(q, data.item)
    if name == "soreg":
        similar = soreg.link_similarity(data)
        for number, (u, v) in enumerate(zip(truster, trustee, strict=True)):
            total += SOCIAL * similar[number] * float(np.square(p[u] - p[v]).sum())
    if name == "socialmf":
        for u in set(truster.tolist()):
            mean = np.mean([p[v] for v in trustee[truster == u]], axis=0)
            total += SOCIAL * float(np.square(p[u] - mean).sum())
    return total


@pytest.mark.parametrize("name", NAMES)
def test_objectives_are_those_of_the_papers(name: str) -> None:
    data = tiny()
    model = models(data)[name]
    left, right = expected_sides(name, model, data)
    error = 0.0
    for u, i, r in zip(data.user, data.item, data.rating, strict=True):
        bias = model.mean + array(model.user_bias)[u] + array(model.item_bias)[i]
        error += (bias + left[u] @ right[i] - r) ** 2
    wanted = error + expected_penalty(name, model, data)
    wanted += 2.0 * np.square(array(model.user_bias)).sum()
    wanted += 5.0 * np.square(array(model.item_bias)).sum()
    assert float(model.objective()) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_fitting_keeps_a_step_that_is_better_on_select_than_the_start(name: str) -> None:
    data = tiny()
    model = models(data)[name]
    select = torch.from_numpy(data.select_user), torch.from_numpy(data.select_item)
    before = array(model(*select))
    after = fit_factors(model, data).predict(data.select_user, data.select_item)
    errors = [
        np.square(np.clip(predicted, *data.scale) - data.select_rating).mean()
        for predicted in (before, after)
    ]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("name", NAMES)
def test_with_enough_damping_each_is_the_bias_model(name: str) -> None:
    data = tiny()
    bias = fit_bias(
        RatingTable(data.user, data.item, data.rating), data.num_users, data.num_items,
        scale=data.scale, user_reg=DAMPING.users, item_reg=DAMPING.items,
    )  # fmt: skip
    model = models(data, replace(DAMPING, factors=1e4))[name]
    damped = fit_factors(model, data, 2000)
    pairs = data.select_user, data.select_item
    np.testing.assert_allclose(damped.predict(*pairs), bias.predict(*pairs), atol=2e-3)


def test_similarity_is_the_correlation_of_co_rated_items() -> None:
    data = tiny()
    mean = {u: data.rating[data.user == u].mean() for u in set(data.user.tolist())}
    rated = {(u, i): r for u, i, r in zip(data.user, data.item, data.rating, strict=True)}
    for number, (u, v) in enumerate(data.links.T):
        both = [i for i in range(data.num_items) if (u, i) in rated and (v, i) in rated]
        one = np.array([rated[u, i] - mean[u] for i in both])
        other = np.array([rated[v, i] - mean[v] for i in both])
        norm = np.sqrt(np.square(one).sum() * np.square(other).sum())
        correlation = (one * other).sum() / norm if norm > 1e-12 else 0.0
        assert soreg.link_similarity(data)[number] == pytest.approx((correlation + 1) / 2, abs=1e-5)


@pytest.mark.parametrize("name", ["svd", "svdpp"])
def test_surprise_is_read_off_as_it_predicts(name: str) -> None:
    surprise = pytest.importorskip("surprise")
    data = tiny()
    (peer,) = peers("rating", [name])
    params = {"factors": 3.0, "epochs": 5.0, "lr": 0.05, "reg": 0.02}
    predict = peer.fit(data, params, 0, SilentReporter())
    from rrnet_cli.evaluation.peers import surprise_svd

    kind = surprise.SVD if name == "svd" else surprise.SVDpp
    theirs = kind(**surprise_svd._settings(params), random_state=0)
    theirs.fit(surprise_svd._trainset(surprise, data))
    user, item = data.user[:10], data.item[:10]
    wanted = [
        theirs.predict(int(u), int(i), clip=False).est for u, i in zip(user, item, strict=True)
    ]
    np.testing.assert_allclose(predict(user, item), wanted, rtol=1e-6)
    # user 0 and item 0 were never rated: no random factor of theirs is left
    everyone, items = np.arange(data.num_users), np.arange(data.num_items)
    cold_user = predict(np.zeros_like(items), items) - theirs.bi
    cold_item = predict(everyone, np.zeros_like(everyone)) - theirs.bu
    for bare in (cold_user, cold_item):
        np.testing.assert_allclose(bare, data.rating.mean(), rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in PEERS["rating"] if n not in ("svd", "svdpp")])
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    (peer,) = peers("rating", [name])
    params = {key: values[0] for key, values in peer.grid.items()}
    data = tiny()
    first, second = (
        peer.fit(data, params, 3, SilentReporter())(data.user, data.item) for _ in range(2)
    )
    assert np.array_equal(first, second)
