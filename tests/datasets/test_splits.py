from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.datasets.base import FIT, HOLD, SELECT, TEST
from rrnet_cli.datasets.splits import (
    Catalogue,
    assign_roles,
    carve,
    check_roles,
    keep_limit,
    rating_roles,
)
from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.settings import DataSettings

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)
FRACTIONS = st.floats(0.05, 0.9)
SEEDS = st.integers(0, 2**32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def catalogue(num: int = 40, **fields: object) -> Catalogue:
    labels = np.arange(num) % 4
    ids = tuple(str(i) for i in range(num))
    return Catalogue("here", ids, labels, ("a", "b", "c", "d"), **fields)  # type: ignore[arg-type]


@settings(deadline=None)
@given(LABELS, FRACTIONS, SEEDS)
def test_carve_takes_the_rounded_part_of_every_class(labels, fraction, seed):
    chosen = carve(labels, fraction, rng(seed))
    for label, size in Counter(labels.tolist()).items():
        wanted = min(max(int(size * fraction + 0.5), 1), size - 1)
        assert chosen[labels == label].sum() == wanted


@settings(deadline=None)
@given(st.data(), FRACTIONS, SEEDS)
def test_carve_keeps_groups_whole_and_classes_on_both_sides(data, fraction, seed):
    groups = np.array(data.draw(st.lists(st.integers(0, 15), min_size=1, max_size=60)))
    labels = groups % 3  # each group within one class
    chosen = carve(labels, fraction, rng(seed), groups)
    for group in np.unique(groups):
        assert len(set(chosen[groups == group].tolist())) == 1
    for label in np.unique(labels):
        if len(np.unique(groups[labels == label])) > 1:
            assert set(chosen[labels == label].tolist()) == {True, False}


@settings(deadline=None)
@given(st.data(), FRACTIONS, SEEDS)
def test_carve_never_empties_a_class_even_when_groups_mix_classes(data, fraction, seed):
    size = data.draw(st.integers(1, 40))
    cells = st.lists(st.integers(0, 3), min_size=size, max_size=size).map(np.array)
    labels, groups = data.draw(cells), data.draw(cells)
    chosen = carve(labels, fraction, rng(seed), groups)
    assert set(labels[~chosen].tolist()) == set(labels.tolist())
    for group in range(4):
        assert len(set(chosen[groups == group].tolist())) <= 1


def test_carve_of_equal_groups_is_close_to_the_fraction():
    groups = np.repeat(np.arange(100), 2)
    labels = groups % 10
    chosen = carve(labels, 0.2, rng(), groups)
    assert [chosen[labels == c].sum() for c in range(10)] == [4] * 10


def test_carve_takes_the_smallest_group_where_all_are_too_big():
    groups = np.repeat([0, 1, 2], [5, 4, 6])
    chosen = carve(np.zeros(15, dtype=np.int64), 0.1, rng(), groups)
    assert (chosen == (groups == 1)).all()


def test_roles_are_seeded_and_differ_between_seeds():
    one, again, other = (
        assign_roles(catalogue(), DataSettings(layout="image-folder", split_seed=seed))
        for seed in (1, 1, 2)
    )
    assert (one == again).all()
    assert (one != other).any()
    assert [(one == role).sum() for role in (FIT, SELECT, TEST)] == [32, 4, 4]


def test_the_test_split_does_not_move_with_the_validation_fraction():
    roles = [
        assign_roles(catalogue(), DataSettings(layout="image-folder", val_fraction=f))
        for f in (0.1, 0.5)
    ]
    assert ((roles[0] == TEST) == (roles[1] == TEST)).all()


def test_a_given_split_is_kept_and_only_validation_is_carved():
    given_roles = np.where(np.arange(40) < 8, TEST, FIT).astype(np.int8)
    roles = assign_roles(catalogue(given=given_roles), DataSettings(layout="image-folder"))
    assert ((roles == TEST) == (given_roles == TEST)).all()
    assert (roles == SELECT).sum() == 4


def test_a_complete_given_split_is_untouched():
    given_roles = (np.arange(40) % 3).astype(np.int8)
    roles = assign_roles(catalogue(given=given_roles), DataSettings(layout="image-folder"))
    assert (roles == given_roles).all()


def test_the_fold_is_the_test_set_and_wins_over_a_given_split():
    folds = np.arange(40) // 4 % 5 + 1
    data = catalogue(folds=folds, given=np.zeros(40, dtype=np.int8))
    roles = assign_roles(data, DataSettings(layout="esc", fold=3))
    assert ((roles == TEST) == (folds == 3)).all()
    assert (roles == SELECT).any()


def test_a_fold_that_does_not_exist_names_those_that_do():
    data = catalogue(folds=np.arange(40) % 3 + 1)
    with pytest.raises(ConfigError, match="no fold 7") as caught:
        assign_roles(data, DataSettings(layout="esc", fold=7))
    assert caught.value.hint == "its folds are 1, 2, 3"
    with pytest.raises(ConfigError, match="has no folds"):
        assign_roles(catalogue(), DataSettings(layout="image-folder", fold=1))


@settings(deadline=None)
@given(LABELS, st.integers(1, 5), SEEDS)
def test_limit_keeps_so_many_a_cell_and_smaller_limits_keep_subsets(labels, limit, seed):
    roles = (np.arange(len(labels)) % 3).astype(np.int8)
    kept = keep_limit(labels, roles, limit, seed)
    assert (np.diff(kept) > 0).all()
    cells = Counter(zip(labels.tolist(), roles.tolist(), strict=True))
    got = Counter(zip(labels[kept].tolist(), roles[kept].tolist(), strict=True))
    assert got == {cell: min(size, limit) for cell, size in cells.items()}
    assert set(kept) <= set(keep_limit(labels, roles, limit + 1, seed))
    assert len(keep_limit(labels, roles, None, seed)) == len(labels)


@pytest.mark.parametrize(
    ("labels", "roles", "names", "message"),
    [
        ([0, 0, 0], [0, 1, 2], ("a",), "one class only"),
        ([0, 1, 0], [0, 0, 1], ("a", "b"), "the test split of x is empty"),
        ([0, 1, 0], [0, 0, 2], ("a", "b"), "the select split of x is empty"),
        ([0, 1, 0], [1, 1, 2], ("a", "b"), "the fit split of x is empty"),
        ([0, 0, 1, 1], [0, 0, 1, 2], ("a", "b"), r"holds one class only \(a\)"),
    ],
)
def test_unusable_splits_are_refused(labels, roles, names, message):
    with pytest.raises(InputError, match=message):
        check_roles("x", np.array(labels), np.array(roles, dtype=np.int8), names)


def test_ratings_split_80_10_10_by_seed():
    roles = rating_roles(1000, DataSettings(layout="ratings"))
    assert [(roles == role).sum() for role in (FIT, SELECT, TEST)] == [800, 100, 100]
    assert (roles == rating_roles(1000, DataSettings(layout="ratings"))).all()
    assert (roles != rating_roles(1000, DataSettings(layout="ratings", split_seed=1))).any()


@settings(deadline=None, max_examples=30)
@given(st.integers(20, 200), st.integers(0, 100))
def test_rating_folds_partition_the_ratings(num, seed):
    tests = sum(
        (rating_roles(num, DataSettings(layout="ratings", fold=f, split_seed=seed)) == TEST).astype(
            int
        )
        for f in range(1, 6)
    )
    assert (tests == 1).all()


def test_rating_fold_six_and_too_few_ratings_are_refused():
    with pytest.raises(ConfigError, match="no fold 6"):
        rating_roles(100, DataSettings(layout="ratings", fold=6))
    with pytest.raises(InputError, match="3 ratings are too few"):
        rating_roles(3, DataSettings(layout="ratings"))


@pytest.mark.parametrize(("of", "source"), [("fit", FIT), ("select", SELECT)])
@pytest.mark.parametrize("groups", [None, np.arange(160) // 2])
def test_held_instances_come_from_one_split_and_move_nobody_else(groups, of, source):
    def roles(**held):
        data = catalogue(160, groups=groups)
        return assign_roles(data, DataSettings(layout="esc", val_fraction=0.3, **held))

    without, with_some = roles(), roles(holdout=0.25, holdout_of=of)
    held = with_some == HOLD
    assert not (without == HOLD).any()
    assert (without[held] == source).all()
    assert (without[~held] == with_some[~held]).all()
    assert held.sum() == pytest.approx(0.25 * (without == source).sum(), abs=4)
    assert set(np.arange(160)[held] % 4) == {0, 1, 2, 3}
    if groups is not None:
        assert all(len(set(held[groups == group])) == 1 for group in range(80))


@pytest.mark.parametrize(("of", "source"), [("fit", FIT), ("select", SELECT)])
@pytest.mark.parametrize("fold", [None, 2])
def test_held_ratings_come_from_one_split_and_move_no_other(fold, of, source):
    def roles(**held):
        return rating_roles(1000, DataSettings(layout="ratings", fold=fold, **held))

    without, with_some = roles(), roles(holdout=0.1, holdout_of=of)
    held = with_some == HOLD
    assert held.sum() == round(0.1 * (without == source).sum())
    assert (without[held] == source).all()
    assert (without[~held] == with_some[~held]).all()
