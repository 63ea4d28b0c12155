"""Rows of one run and of several, against loops over whole resampled runs."""

import numpy as np
import pytest

from rrnet_cli.evaluation import comparison, metrics, paired
from rrnet_cli.evaluation.classification import ClassRun, Judged
from rrnet_cli.evaluation.ratings import RatingRun
from tests.evaluation.runs import class_run, rating_run

BOOTSTRAP = comparison.Bootstrap(resamples=300, confidence=0.95, seed=0)


def by_name(rows):
    return {row.metric: row for row in rows}


def taken(run, rows):
    """The run with its instances drawn as `rows` says."""

    def of(judged):
        return Judged(**{name: getattr(judged, name)[rows] for name in Judged.__dataclass_fields__})

    if isinstance(run, RatingRun):
        return RatingRun(
            run.ids[rows], run.rating[rows], run.baseline[rows], run.rrnet[rows], run.num_bins
        )
    return ClassRun(
        run.ids[rows],
        run.labels[rows],
        of(run.baseline),
        of(run.rrnet),
        run.candidate[rows],
        run.ties,
        run.num_classes,
        run.num_bins,
    )


@pytest.mark.parametrize(
    "run",
    # in resamples of twelve instances some of the five classes do not occur
    [class_run(gain=0.5), class_run(num=12, classes=5), rating_run(gain=0.2)],
)
def test_columns_and_statistic_give_every_metric_of_a_resample(run):
    num = len(run.ids)
    draws = np.random.default_rng(9).integers(0, num, size=(20, num))
    sampled = paired.bootstrap_sums(run.columns(), run.statistic, resamples=20, seed=9)
    assert set(sampled) == set(run.figures()) != set()
    for index, rows in enumerate(draws):
        for name, (baseline, rrnet) in taken(run, rows).figures().items():
            assert sampled[name][index] == pytest.approx(rrnet - baseline, abs=1e-9), name


@pytest.mark.parametrize("run", [class_run(), rating_run()])
def test_a_statistic_of_everything_once_is_the_difference_itself(run):
    once = np.asarray(run.columns().sum(axis=0)).reshape(1, -1)
    for name, value in run.statistic(once).items():
        baseline, rrnet = run.figures()[name]
        assert value[0] == pytest.approx(rrnet - baseline)


def test_figures_of_a_run_are_those_of_the_metrics():
    run = class_run(gain=1.0)
    figures = run.figures()
    assert figures["top1"] == (100 * run.baseline.top1.mean(), 100 * run.rrnet.top1.mean())
    assert figures["top1"][1] > figures["top1"][0] + 5
    assert figures["top5"] == (100.0, 100 * run.candidate.mean())  # 4 classes, 3 candidates
    assert 0 < run.candidate.mean() < 1
    matrix = metrics.confusion_matrix(run.labels, run.rrnet.predicted, 4)
    assert figures["macro_f1"][1] == metrics.macro_f1(matrix)


def test_hits_get_mcnemar_and_the_rest_the_bootstrap():
    run = class_run(gain=3.0)
    rows = by_name(comparison.compare_run(run, BOOTSTRAP))
    assert set(rows) == {"top1", "top5", "macro_f1", "nll", "ece"}
    assert {name for name, row in rows.items() if row.p_method == "mcnemar-exact"} == {
        "top1",
        "top5",
    }
    assert rows["top1"].p == paired.mcnemar_exact(run.baseline.top1, run.rrnet.top1) < 0.05
    assert rows["top1"].ci_low > 0
    for row in rows.values():
        assert row.difference == pytest.approx(row.rrnet - row.baseline)
        assert row.ci_low <= row.difference <= row.ci_high
        assert row.n == 60
        assert row.baseline_std is None


def test_better_ratings_are_a_negative_difference():
    rows = by_name(comparison.compare_run(rating_run(gain=0.6), BOOTSTRAP))
    for name in ("mae", "rmse"):
        assert rows[name].difference < 0 and rows[name].ci_high < 0 and rows[name].p < 0.05
        assert rows[name].p_method == "bootstrap"


def test_a_single_run_is_itself():
    run = class_run()
    assert comparison.aggregate([run], BOOTSTRAP) == (
        "single",
        comparison.compare_run(run, BOOTSTRAP),
    )


@pytest.mark.parametrize("make", [class_run, rating_run])
def test_folds_are_pooled(make):
    folds = [make(seed=1), make(seed=2, first=500), make(seed=3, num=30, first=900)]
    estimate, rows = comparison.aggregate(folds, BOOTSTRAP)
    whole = comparison.compare_run(type(folds[0]).joined(folds), BOOTSTRAP)
    assert estimate == "pooled"
    for row, expected in zip(rows, whole, strict=True):
        assert row.n == sum(len(fold.ids) for fold in folds)
        for name in ("baseline", "rrnet", "difference", "ci_low", "ci_high", "p"):
            assert getattr(row, name) == getattr(expected, name)
        pairs = np.array([fold.figures()[row.metric] for fold in folds])
        assert row.baseline_std == pytest.approx(np.std(pairs[:, 0], ddof=1))
        assert row.rrnet_std == pytest.approx(np.std(pairs[:, 1], ddof=1))
        assert row.difference_std == pytest.approx(np.std(pairs[:, 1] - pairs[:, 0], ddof=1))


@pytest.mark.parametrize("make", [class_run, rating_run])
def test_seeds_on_the_same_instances_are_not_counted_as_more_instances(make):
    seeds = [make(seed=seed, gain=0.1) for seed in range(4)]
    estimate, rows = comparison.aggregate(seeds, BOOTSTRAP)
    assert estimate == "mean"
    for row in rows:
        assert row.n == len(seeds[0].ids)
        pairs = np.array([seed.figures()[row.metric] for seed in seeds])
        assert (row.baseline, row.rrnet) == pytest.approx(tuple(pairs.mean(axis=0)))
        assert row.difference == pytest.approx(row.rrnet - row.baseline)
        assert row.p_method == "bootstrap"


def test_the_same_run_four_times_is_no_surer_than_once():
    once = by_name(comparison.compare_run(rating_run(), BOOTSTRAP))
    four = by_name(comparison.aggregate([rating_run()] * 4, BOOTSTRAP)[1])
    for name, row in once.items():
        assert four[name].ci_low == pytest.approx(row.ci_low)
        assert four[name].ci_high == pytest.approx(row.ci_high)


def test_overlapping_splits_resample_distinct_instances():
    runs = [rating_run(seed=1, num=50), rating_run(seed=2, num=50, first=30)]
    estimate, rows = comparison.aggregate(runs, BOOTSTRAP)
    assert estimate == "mean" and rows[0].n == 80
    draws = np.random.default_rng(0).integers(0, 80, size=(300, 80))
    units = np.array(list(dict.fromkeys(np.concatenate([run.ids for run in runs]).tolist())))
    expected = []
    for draw in draws:
        drawn = units[draw].tolist()
        values = []
        for run in runs:
            place = {name: index for index, name in enumerate(run.ids.tolist())}
            chosen = np.array([place[name] for name in drawn if name in place])
            baseline, rrnet = taken(run, chosen).figures()["rmse"]
            values.append(rrnet - baseline)
        expected.append(np.mean(values))
    found = paired.interval(0.0, np.array(expected), 0.95)
    assert (rows[1].ci_low, rows[1].ci_high) == pytest.approx((found.low, found.high))


def test_unlike_labels_of_one_instance_are_refused():
    other = rating_run(seed=1)
    other.rating[3] += 1
    with pytest.raises(ValueError, match=r"u3\ti0"):
        comparison.aggregate([rating_run(), other], BOOTSTRAP)


def test_detail_can_be_drawn_and_adds_up():
    run = class_run(gain=1.0)
    detail = run.detail(["a", "b", "c", "d"])
    assert detail["candidate_recall"] == run.candidate.mean()
    for key in ("baseline", "rrnet"):
        assert np.sum(detail["confusion"][key]) == 60
        assert sum(detail["reliability"][key]["count"]) == 60
    assert detail["nll_floored"] == {"baseline": 0, "rrnet": int((~run.candidate).sum())}
    assert [row["class"] for row in detail["per_class"]] == ["a", "b", "c", "d"]
    assert sum(row["support"] for row in detail["per_class"]) == 60
    recall = np.mean([h for h, t in zip(run.rrnet.top1, run.labels, strict=True) if t == 2])
    assert detail["per_class"][2]["rrnet_recall"] == pytest.approx(recall)


def test_rating_detail_bins_by_prediction():
    run = rating_run()
    table = run.detail()["reliability"]["rrnet"]
    assert sum(table["count"]) == len(run.ids)
    total = sum(c * r for c, r in zip(table["count"], table["rating"], strict=True))
    assert total == pytest.approx(run.rating.sum())
    assert [p for p, c in zip(table["predicted"], table["count"], strict=True) if c] == sorted(
        p for p, c in zip(table["predicted"], table["count"], strict=True) if c
    )


def test_judged_survives_the_table_of_predictions():
    run = class_run()
    again = Judged.from_columns(run.rrnet.as_columns("rrnet"), "rrnet", run.labels)
    for name in Judged.__dataclass_fields__:
        assert np.array_equal(getattr(again, name), getattr(run.rrnet, name)), name
