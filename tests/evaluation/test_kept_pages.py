"""Rows of a page that outlive the run that made them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rrnet_cli.errors import ConfigError, InputError
from rrnet_cli.evaluation.kept_pages import KeptPage, page_json, read_page
from rrnet_cli.evaluation.oracle import OracleBound
from rrnet_cli.evaluation.published import Published
from rrnet_cli.evaluation.reproduction import NOT_RUN, Figure, ResultLine
from rrnet_cli.evaluation.results import ResultRow, read_results, write_results
from rrnet_cli.evaluation.training_curves import TrainingCurves

NOTHING = ResultLine("CIFAR-10", "ResNet18", "top1", paper=Published(89.63))
RUN = replace(
    NOTHING,
    ours={
        "baseline": Figure(80.0, 80.0, None, 100, 1),
        "plus": Figure(81.0, 81.0, None, 100, 1, 1.0, 0.5, 1.5, 0.01),
    },
    best_peer="knn",
    bound=OracleBound(100, 20, 19, 5),
    runs="seed 0",
    commit="old",
    sources=("evaluation/x@1",),
)
OTHER = ResultLine("CIFAR-10", "MobileNetV2", "top1")
CURVES = TrainingCurves("net", "CIFAR-10", "ResNet18", ["one run"], np.array([[10.0, 200 / 3]]))


def kept(tmp_path, rows, training=()) -> KeptPage:
    path = tmp_path / "table2.json"
    path.write_text(page_json("table2", "full", rows, training))
    return read_page(path, "table2", "full")


def test_a_row_comes_back_as_it_was_beside_todays_figures_of_the_paper(tmp_path):
    page = kept(tmp_path, [RUN, OTHER])
    assert len(page.rows) == 1, "what was not run is not kept"
    today = replace(NOTHING, paper=Published(90.0))
    assert page.filled([OTHER, today]) == [OTHER, replace(RUN, paper=Published(90.0))]


def test_what_was_run_now_takes_the_place_of_what_was_kept(tmp_path):
    new = replace(RUN, commit="new")
    assert kept(tmp_path, [RUN]).filled([new]) == [new]


def test_columns_of_one_baseline_join(tmp_path):
    def figure(value: float) -> Figure:
        return Figure(value, value, 0.01, 100, 3)

    old = replace(
        RUN,
        metric="mae",
        ours={name: figure(0.7) for name in ("baseline", "knn", "paper", "plus")},
        commit="aaa, bbb (plus)",
        sources=("evaluation/x-peer-knn@1", "evaluation/x-paper@1", "model/x-seed0-plus@1"),
    )
    page = kept(tmp_path, [old])
    new = replace(
        old,
        ours={"baseline": figure(0.7 + 1e-8), "plus": figure(0.6)},
        best_peer=None,
        commit="ccc",
        sources=("evaluation/x-plus@2",),
    )
    (row,) = page.filled([new])
    assert row.ours == {**old.ours, **new.ours} and row.best_peer == "knn"
    assert row.commit == "aaa, ccc (plus)"
    assert row.sources == (*old.sources[:2], *new.sources)
    assert page.lost([row]) == []
    both = {**new.ours, "paper": figure(0.5)}
    assert page.filled([replace(new, ours=both)])[0].commit == "ccc, aaa (knn)"
    knn = {"baseline": figure(0.7), "knn": figure(0.6)}
    assert page.filled([replace(new, ours=knn)])[0].commit == "aaa, bbb (plus), ccc (knn)", (
        "in the order of as many"
    )
    for commit in ("3345197-dirty", "rrnet 0.3.0", "v1.2-5-gabcdef0"):
        one = replace(old, commit=commit)
        assert kept(tmp_path, [one]).filled([new])[0].commit == f"{commit}, ccc (plus)"
    named = replace(old, commit="aaa, bbb (knn, paper), ddd (plus)")
    assert kept(tmp_path, [named]).filled([new])[0].commit == "bbb, ccc (plus)"
    page = kept(tmp_path, [old])
    whole = replace(new, ours={name: figure(0.7) for name in old.ours})
    assert page.filled([whole]) == [whole], "nothing is left of the old one"
    other = replace(new, ours={**new.ours, "baseline": figure(0.7001)})
    assert page.filled([other]) == [other]
    assert page.lost([other]) == ["CIFAR-10 ResNet18 (paper preset, best peer)"]


def test_accuracies_do_not_tell_that_a_baseline_is_the_same(tmp_path):
    new = replace(RUN, ours={"baseline": RUN.ours["baseline"]}, best_peer=None)
    assert kept(tmp_path, [RUN]).filled([new]) == [new]


def test_rows_are_told_apart_by_setting_and_metric(tmp_path):
    rows = [
        replace(RUN, metric=metric, setting=setting, commit=f"{metric} {setting}")
        for metric in ("mae", "rmse")
        for setting in (("h", 4), ("h", 8), None)
    ]
    blank = [replace(row, ours={}, runs=NOT_RUN, commit=None) for row in rows]
    assert kept(tmp_path, rows).filled(blank) == rows


def test_curves_are_kept_by_network_in_the_order_of_the_table(tmp_path):
    page = kept(tmp_path, [RUN], [replace(CURVES, network=name) for name in ("a", "b", "gone")])
    new = replace(CURVES, network="b", top1=np.array([[1.0]]))
    found = page.curves([new], ["b", "c", "a"], ["b"])
    assert [curve.network for curve in found] == ["b", "a"]
    np.testing.assert_array_equal(found[0].top1, [[1.0]])
    np.testing.assert_allclose(found[1].top1, CURVES.top1, atol=1e-4)
    assert [curve.network for curve in page.curves([], ["a", "b"], ["b"])] == ["a"], (
        "what was run without a curve has none"
    )


def test_what_a_new_page_loses_is_named(tmp_path):
    page = kept(tmp_path, [RUN, replace(RUN, backbone="renamed"), replace(RUN, metric="rmse")])
    assert page.lost([RUN, replace(RUN, metric="rmse")]) == ["CIFAR-10 renamed"]
    assert page.lost([NOTHING]) == ["CIFAR-10 ResNet18", "CIFAR-10 renamed"]


def test_a_row_that_is_run_again_in_part_is_named_with_what_it_had(tmp_path):
    page = kept(tmp_path, [RUN])
    paper = {**RUN.ours, "paper": RUN.ours["plus"]}
    assert page.lost([replace(RUN, ours=paper, best_peer="gat")]) == []
    assert page.lost([replace(RUN, best_peer=None)]) == ["CIFAR-10 ResNet18 (best peer)"]
    del paper["plus"]
    assert page.lost([replace(RUN, ours=paper, best_peer=None)]) == [
        "CIFAR-10 ResNet18 (plus preset, best peer)"
    ]


def test_no_file_is_nothing_kept(tmp_path):
    page = read_page(tmp_path / "none.json", "table2", "full")
    assert page.filled([NOTHING]) == [NOTHING] and page.curves([], ["net"], []) == []


def test_another_page_is_refused(tmp_path):
    path = tmp_path / "table2.json"
    path.write_text(page_json("table2", "fast", [RUN], []))
    for target, budget in (("table2", "full"), ("table5", "fast")):
        with pytest.raises(ConfigError, match="holds table2 of budget fast"):
            read_page(path, target, budget)
    content = json.loads(path.read_text())
    content["rows"][0]["metric"] = "recall"
    ragged = replace(CURVES, runs=["one", "two"])
    with pytest.raises(ValueError, match="one row of the same length"):
        page_json("table2", "full", [RUN], [ragged])
    broken = (
        (b"[]", "the file: "),
        (json.dumps(content).encode(), "rows.0.metric"),
        (b"\xff", "JSON"),
    )
    for text, where in broken:
        path.write_bytes(text)
        with pytest.raises(InputError, match=where):
            read_page(path, "table2", "fast")


def test_a_table_of_results_passes_pages_over(tmp_path):
    kept(tmp_path, [RUN])
    write_results(tmp_path / "a.json", [ResultRow(metric="top1")])
    assert len(read_results(tmp_path)) == 1


@pytest.mark.parametrize("target", ["table1", "table2", "table4", "table5", "fig3", "fig4"])
def test_the_rows_under_docs_can_be_added_to(target):
    folder = Path(__file__).parents[2] / "docs/results"
    page = read_page(folder / f"{target}.json", target, "full")
    text = (folder / f"{target}.md").read_text()
    assert page.rows and all(source in text for row in page.rows for source in row.sources)
