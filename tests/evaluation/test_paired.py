"""The paired tests against loops, scipy's exact tests, and their own promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from rrnet_cli.evaluation import paired


def mean(sums):
    return {"mean": sums[:, 0] / sums[:, 1]}


def with_count(values):
    return np.column_stack((values, np.ones(len(values))))


def test_resamples_are_those_of_a_loop():
    values = np.random.default_rng(0).normal(size=37)
    ours = paired.bootstrap_sums(with_count(values), mean, resamples=50, seed=3)["mean"]
    rng = np.random.default_rng(3)
    drawn = rng.integers(0, 37, size=(50, 37))
    assert ours == pytest.approx([values[row].mean() for row in drawn])


def test_chunks_do_not_change_what_is_drawn(monkeypatch):
    columns = with_count(np.random.default_rng(0).normal(size=40))
    whole = paired.bootstrap_sums(columns, mean, resamples=30, seed=1)["mean"]
    monkeypatch.setattr(paired, "CHUNK_ELEMENTS", 40 * 7)
    parts = paired.bootstrap_sums(columns, mean, resamples=30, seed=1)["mean"]
    assert parts == pytest.approx(whole, rel=1e-12)


def test_sparse_columns_give_the_same_sums():
    columns = with_count(np.random.default_rng(0).integers(0, 2, 40).astype(float))
    dense, thin = (
        paired.bootstrap_sums(value, mean, resamples=30, seed=1)["mean"]
        for value in (columns, sparse.csr_matrix(columns))
    )
    assert np.array_equal(dense, thin)


def test_memory_is_bounded(monkeypatch):
    largest = 0
    bincount = np.bincount

    def spy(x, **options):
        nonlocal largest
        largest = max(largest, len(x))
        return bincount(x, **options)

    monkeypatch.setattr(np, "bincount", spy)
    monkeypatch.setattr(paired, "CHUNK_ELEMENTS", 1000)
    paired.bootstrap_sums(np.ones((300, 2)), mean, resamples=100, seed=0)
    assert 0 < largest <= 1000


def test_bootstrap_spread_is_the_standard_error():
    values = np.random.default_rng(1).normal(size=400)
    sampled = paired.bootstrap_sums(with_count(values), mean, resamples=4000, seed=0)["mean"]
    assert sampled.std() == pytest.approx(values.std() / 20, rel=0.05)
    found = paired.interval(values.mean(), sampled, 0.95)
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.07)


def test_other_seed_other_resamples():
    columns = with_count(np.arange(20.0))
    first, second = (
        paired.bootstrap_sums(columns, mean, resamples=20, seed=seed)["mean"] for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


def covers_zero(found):
    """Whether no difference is shown."""
    return found.low <= 0.0 <= found.high


def test_an_empty_bootstrap_is_refused():
    with pytest.raises(ValueError):
        paired.bootstrap_sums(np.ones((0, 2)), mean, resamples=5, seed=0)


@given(st.lists(st.integers(-5, 5), min_size=60, max_size=200), st.sampled_from([0.5, 0.9, 0.95]))
def test_p_and_interval_say_the_same(values, confidence):
    found = paired.interval(0.0, np.array(values, float), confidence)
    assert found.low <= found.high
    assert covers_zero(found) == (found.p > 1 - confidence) or (
        # between the two bounds lies at most one resample a side
        abs(found.p - (1 - confidence)) <= 4 / len(values)
    )


def test_p_of_one_sided_resamples_is_as_small_as_resamples_can_show():
    assert paired.two_sided_p(np.full(999, 0.5)) == pytest.approx(2 / 1000)
    assert paired.two_sided_p(np.full(999, -0.5)) == pytest.approx(2 / 1000)
    assert paired.two_sided_p(np.zeros(999)) == 1.0


def test_a_null_difference_is_seldom_called_real():
    rng = np.random.default_rng(2)
    found = []
    for trial in range(200):
        values = rng.normal(size=100)
        sampled = paired.bootstrap_sums(with_count(values), mean, resamples=300, seed=trial)
        found.append(covers_zero(paired.interval(values.mean(), sampled["mean"], 0.95)))
    assert 0.90 <= np.mean(found) <= 0.99


def hits(lost: int, won: int, both: int = 30, neither: int = 10):
    baseline = np.repeat([True, False, True, False], [lost, won, both, neither])
    rrnet = np.repeat([False, True, True, False], [lost, won, both, neither])
    return baseline, rrnet


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (3, 9), (9, 3), (5, 5), (40, 61)])
def test_mcnemar_is_the_exact_binomial_test(lost, won):
    expected = stats.binomtest(won, lost + won, 0.5).pvalue if lost + won else 1.0
    assert paired.mcnemar_exact(*hits(lost, won)) == pytest.approx(expected)


def test_hit_difference_is_the_bootstrap_over_instances():
    baseline, rrnet = hits(12, 25, 50, 13)
    quick = paired.hit_difference(baseline, rrnet, resamples=20_000, confidence=0.95, seed=0)
    values = rrnet.astype(float) - baseline
    sampled = paired.bootstrap_sums(with_count(values), mean, resamples=20_000, seed=0)["mean"]
    slow = paired.interval(values.mean(), sampled, 0.95)
    assert quick.difference == pytest.approx(slow.difference) == pytest.approx(0.13)
    assert quick.low == pytest.approx(slow.low, abs=0.011)
    assert quick.high == pytest.approx(slow.high, abs=0.011)
    assert quick.p == pytest.approx(slow.p, rel=0.3)


def test_agreeing_models_show_no_difference():
    found = paired.hit_difference(*hits(0, 0), resamples=100, confidence=0.95, seed=0)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


@settings(max_examples=25)
@given(st.integers(0, 30), st.integers(0, 30))
def test_exchanging_the_models_turns_the_sign(lost, won):
    options = {"resamples": 200, "confidence": 0.9, "seed": 0}
    there, back = (
        paired.hit_difference(*pair, **options) for pair in (hits(lost, won), hits(won, lost))
    )
    assert there.difference == pytest.approx(-back.difference)
    assert (there.difference > 0) == (won > lost)
    assert paired.mcnemar_exact(*hits(lost, won)) == paired.mcnemar_exact(*hits(won, lost))


def test_unpaired_hits_are_refused():
    for test in (
        paired.mcnemar_exact,
        lambda a, b: paired.hit_difference(a, b, resamples=9, confidence=0.9, seed=0),
    ):
        with pytest.raises(ValueError):
            test(np.ones(3, bool), np.ones(4, bool))
