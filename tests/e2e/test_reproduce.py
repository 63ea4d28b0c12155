"""`rrnet reproduce --budget fast`: every target from raw data to its page, on generated data."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rrnet_cli.evaluation.kept_pages import page_json
from rrnet_cli.stages.reproduce import TARGETS
from rrnet_cli.store.store import Store
from tests.conftest import Result
from tests.layouts import write_ciao, write_cifar, write_esc, write_filmtrust

pytestmark = pytest.mark.filterwarnings("ignore")  # as in a process of its own

Invoke = Callable[..., Result]
DRAWN = {"table1", "table2", "table5", "fig3", "fig4"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of all targets, and the store that they share."""
    root = tmp_path_factory.mktemp("reproduce")
    write_esc(root / "data/ESC-10", 5, subset10=True, seconds=0.5)
    write_cifar(root / "data/cifar10", 20)  # two of a class to select on: one may be held
    write_filmtrust(root / "data/filmtrust", 5)
    write_ciao(root / "data/ciao", 8)
    return root


def words(folder: Path, target: str, *more: str) -> list[str | Path]:
    shared = ("-q", "--artifacts", folder / "store", "reproduce", target)
    return [*shared, "--data", folder / "data", "--budget", "fast", *more]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_goes_all_the_way_and_is_then_cached(
    target: str, folder: Path, invoke: Invoke, tmp_path: Path
) -> None:
    result = invoke(*words(folder, target))
    assert result.code == 0, result.err
    page = (tmp_path / f"reproduce/{target}.md").read_text()
    assert result.out.strip() == page.strip()
    assert "**Budget fast" in page and f"Written by `rrnet reproduce {target}`" in page
    rows = list(csv.DictReader((tmp_path / f"reproduce/{target}.csv").open()))
    ours = [row for row in rows if row["source"] == "ours" and row["value"]]
    assert ours and {row["budget"] for row in rows} == {"fast"}
    assert any(row["source"] == "paper" for row in rows) == (target not in ("fig3", "fig4"))
    assert (tmp_path / f"reproduce/{target}.png").exists() == (target in DRAWN)
    assert (f"({target}.png)" in page) == (target in DRAWN)

    planned = invoke(*words(folder, target, "--dry-run", "--json"))
    assert planned.code == 0, planned.err
    steps = planned.json["steps"]
    assert steps and all(step["cached"] for step in steps)
    assert all("-fast" in step["name"] for step in steps), "the real ones stay as they are"


def test_a_table_has_the_columns_and_the_rows_of_the_paper(
    folder: Path, invoke: Invoke, tmp_path: Path
) -> None:
    only = words(folder, "table1", "--only", "logmel", "--presets", "plus", "--folds", "1")
    result = invoke(*only)
    assert result.code == 0, result.err
    lines = [line.strip("| ").split(" | ") for line in result.out.splitlines() if line[:1] == "|"]
    header, rows = lines[0], {(line[0], line[1]): line for line in lines[2:]}
    assert {"paper: baseline", "ours: plus", "plus − baseline", "best peer", "commit"} < set(header)
    mine = dict(zip(header, rows["ESC-10", "logmel"], strict=True))
    assert mine["runs"] == "fold 1" and mine["ours: paper preset"] == "not run here"
    assert re.match(r"\w+: [\d.]+ \(s\.e\.", mine["best peer"])
    assert re.match(r"[\d.]+ \(s\.e\.", mine["ours: plus, no units"])
    control = Store(folder / "store").resolve("model", "esc10-logmel-fold1-fast-plus-no-units")
    assert control.manifest.params["units"] == [] and control.manifest.params["preset"] == "plus"
    assert "neighbours right" in mine["oracle bound"] or mine["oracle bound"] == "no errors"
    assert rows["ESC-10", "EnvNet"][-2] == rows["ESC-50", "logmel"][-2] == "not run here"
    assert rows["ESC-10", "DMCU"][2] == "94.6 ± 0.2" and rows["ESC-10", "DMCU"][-2] == "published"
    assert not (tmp_path / "reproduce/table1.png").exists(), "log-mel is no network"
    assert "Training" not in result.out


def test_a_table_says_for_how_many_epochs_its_networks_were_trained(
    folder: Path, invoke: Invoke, tmp_path: Path
) -> None:
    result = invoke(*words(folder, "table1"))
    assert result.code == 0, result.err
    assert "- ESC-10, EnvNet: 1 epoch in each of 2 runs; after the last, " in result.out
    result = invoke(*words(folder, "table2", "--only", "resnet18,resnet18-views10"))
    assert result.code == 0, result.err
    assert (tmp_path / "reproduce/table2.png").exists()
    assert result.out.count("epoch in one run") == 1, "ten views are of the same network"


def test_data_are_counted_once_whatever_their_baselines(folder: Path, invoke: Invoke) -> None:
    result = invoke(*words(folder, "table3", "--only", "filmtrust"))
    assert result.code == 0, result.err
    (row,) = (line for line in result.out.splitlines() if line.startswith("| FilmTrust"))
    assert "not run here" not in row
    planned = invoke(*words(folder, "table3", "--dry-run", "--json"))
    assert not any("factors" in step["name"] for step in planned.json["steps"])


def test_a_dry_run_writes_nothing(folder: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("--json", "reproduce", "table4", "--data", folder / "data", "--dry-run")
    assert result.code == 0, result.err
    steps = result.json["steps"]
    assert not any(step["cached"] for step in steps)
    named = {(step["stage"], step["name"]) for step in steps}
    assert len(named) == len(steps)
    assert ("build-graph", "filmtrust-seed4-all") in named
    assert ("peers", "ciao-core-seed2-trustsvd") in named
    assert ("eval", "filmtrust-peer-svdpp") in named
    assert ("train", "filmtrust-factors-seed0-plus-no-units") in named
    assert ("build-graph", "filmtrust-factors-seed4-rated-shuffled") in named
    assert not (tmp_path / "reproduce").exists() and not (tmp_path / "artifacts").exists()


def test_the_controls_of_trust_links_have_units_and_graphs_of_their_own(
    folder: Path, invoke: Invoke
) -> None:
    asked = words(folder, "table4", "--only", "filmtrust-factors", "--presets", "plus")
    result = invoke(*asked, "--seeds", "5")
    assert result.code == 0, result.err
    for more in ("", " without units", " with trust links", " with shuffled trust links"):
        method = f"| RR-Net, plus on the factors{more} |"
        rows = [line for line in result.out.splitlines() if method in line]
        assert "| FilmTrust |" in rows[0] and "| seed 5 |" in rows[0]
        assert all("not run here" in row for row in rows[2:]), "of Ciao"
    store = Store(folder / "store")
    plain, links, shuffled = (
        store.resolve("model", f"filmtrust-factors-seed5-fast{suffix}-plus").manifest
        for suffix in ("", "-links", "-shuffled")
    )
    assert "intra" not in plain.params["units"]
    assert links.params["units"] == shuffled.params["units"] == ["inter", "intra", "inter", "inter"]
    graph = store.resolve("graph", str(shuffled.inputs["graph"]))
    assert graph.manifest.params["shuffle_intra"] == 5, "a permutation a split"
    assert plain.inputs["graph"] == links.inputs["graph"] != shuffled.inputs["graph"]


def test_peers_are_run_alone_and_join_what_is_kept(
    folder: Path, invoke: Invoke, tmp_path: Path
) -> None:
    def row(*more: str) -> dict[str, str]:
        asked = words(folder, "table4", "--only", "filmtrust", "--seeds", "5", *more)
        result = invoke(*asked)
        assert result.code == 0, result.err
        lines = [line.strip("| ").split(" | ") for line in result.out.splitlines()]
        (header,) = (line for line in lines if "best peer" in line)
        found = next(line for line in lines if line[:2] == ["FilmTrust", "rating-bias"])
        return dict(zip(header, found, strict=True))

    without = row("--presets", "plus", "--no-peers")
    assert without["best peer"] == "not run here"
    alone = row("--presets", "none")
    assert alone["ours: plus"] == "not run here" != alone["best peer"]
    row("--presets", "plus", "--no-peers")
    joined = row("--presets", "none", "--keep")
    assert joined["ours: plus"] == without["ours: plus"]
    assert joined["best peer"] == alone["best peer"]


def test_a_missing_library_leaves_its_peers_out(
    folder: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "surprise", None)
    peers = {"rating": ("bias", "svd"), "classification": ("knn",)}
    monkeypatch.setattr("rrnet_cli.stages.reproduce.chain.FAST_PEERS", peers)
    result = invoke(*words(folder, "table4", "--only", "filmtrust", "--seeds", "5"))
    assert result.code == 0, result.err
    assert "left out, surprise is not installed: svd" in result.out
    assert "| FilmTrust | SVD | MAE | — | not run here |" in result.out


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (("table9",), "there is no target 'table9'"),
        (("table1", "--budget", "slow"), "--budget slow is not known"),
        (("table1", "--presets", "plsu"), "--presets plsu is not known"),
        (("fig3", "--presets", "none"), "--presets none leaves nothing to run"),
        (("table4", "--presets", "none", "--no-peers"), "--presets none leaves nothing to run"),
        (("table1", "--folds", "1,x"), "'x' is no number"),
        (("table1", "--only", "logmle"), "no row is called 'logmle'"),
        (("table1", "--values", "4"), "table1 varies no setting"),
        (("fig3", "--values", "4,5"), "the rows have no h = 5"),
    ],
)
def test_what_is_refused(
    more: tuple[str, ...], complaint: str, folder: Path, invoke: Invoke, tmp_path: Path
) -> None:
    result = invoke("reproduce", *more, "--data", folder / "data")
    assert result.code == 2 and complaint in result.err
    assert invoke("reproduce", "table1").code == 2
    assert invoke("reproduce", "table1", "--data", tmp_path / "none").code == 3


def test_one_value_of_a_sweep_is_run_alone(folder: Path, invoke: Invoke) -> None:
    def units(*more: str) -> set[str]:
        planned = invoke(*words(folder, "fig4", *more, "--dry-run", "--json"))
        assert planned.code == 0, planned.err
        names = " ".join(step["name"] for step in planned.json["steps"])
        return set(re.findall(r"-units(\d)-paper", names))

    assert units() == {"2", "3"}
    assert units("--values", "3") == {"3"}


def test_rows_of_an_earlier_run_stay_when_they_are_to_be_kept(
    folder: Path, invoke: Invoke, tmp_path: Path
) -> None:
    def rows(*more: str) -> dict[str, str]:
        """The table's rows by data and backbone; and by network, what is said of its training."""
        result = invoke(*words(folder, "table2", *more))
        assert result.code == 0, result.err
        table, said = (
            [line for line in result.out.splitlines() if line.startswith(start)]
            for start in ("| CIFAR", "- CIFAR")
        )
        named = {" ".join(line.split(" | ")[:2]).removeprefix("| "): line for line in table}
        return named | {line.partition(":")[0]: line for line in said}

    first = rows("--only", "resnet18", "--presets", "plus")
    both = rows("--only", "mobilenet_v2", "--presets", "plus", "--keep")
    changed = {name for name in first if first[name] != both[name]}
    assert changed == {"CIFAR-10 MobileNetV2, ImageNet stem"}
    assert set(both) - set(first) == {"- CIFAR-10, MobileNetV2, ImageNet stem"}, "its curve"
    alone = rows("--only", "mobilenet_v2", "--presets", "plus")
    assert "not run here" in alone["CIFAR-10 ResNet18, ImageNet stem"]
    # notes are not for the quiet
    table = invoke(*words(folder, "table2", "--only", "resnet18", "--presets", "plus")[1:])
    assert "no longer in reproduce/table2.json: CIFAR-10 MobileNetV2, ImageNet stem" in table.err
    refused = invoke(*words(folder, "table3", "--keep"))
    assert refused.code == 2 and "no rows to keep" in refused.err


def test_a_full_page_is_not_lost_to_a_fast_one(
    folder: Path, invoke: Invoke, tmp_path: Path
) -> None:
    path = tmp_path / "reproduce/table2.json"
    path.parent.mkdir()
    path.write_text(page_json("table2", "full", [], []))
    full = path.read_bytes()
    refused = invoke(*words(folder, "table2"))
    assert refused.code == 2 and "holds table2 of budget full" in refused.err
    assert path.read_bytes() == full and not path.with_suffix(".md").exists()
