"""Layered parameters: order of precedence, and every problem in one message."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rrnet_cli
from rrnet_cli import errors
from rrnet_cli.base_settings import Settings
from rrnet_cli.cli import reference
from rrnet_cli.cli.parameters import known_keys, resolve
from rrnet_cli.errors import ConfigError
from rrnet_cli.recipes import load_recipe, strict_yaml
from rrnet_cli.settings import (
    PLUS,
    EvalSettings,
    ExtractSettings,
    GraphSettings,
    TrainSettings,
)

BASE = load_recipe("esc10")


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def extract_with(**options):
    return resolve(ExtractSettings, BASE.extract, section="extract", **options)


def problem(**options) -> str:
    with pytest.raises(ConfigError) as caught:
        extract_with(**options)
    assert caught.value.exit_code == 2
    return caught.value.message


def test_without_layers_the_recipe_stands():
    assert extract_with() == BASE.extract


def test_each_layer_wins_over_the_one_before(tmp_path):
    config = write(tmp_path, "baseline:\n  lr: 0.2\n  epochs: 20\n  momentum: 0.2\n")
    settings = extract_with(
        config=config,
        sets=["baseline.epochs=30", "baseline.momentum=0.3"],
        flags={"baseline.momentum": 0.4, "baseline.lr": None},
    )
    assert settings.baseline.lr == 0.2
    assert settings.baseline.epochs == 30
    assert settings.baseline.momentum == 0.4
    assert settings.baseline.batch_size == BASE.extract.baseline.batch_size


def test_preset_lies_between_recipe_and_file(tmp_path):
    config = write(tmp_path, "train:\n  preset: plus\n  mask_rate: 0.4\n")
    settings = resolve(
        TrainSettings, BASE.train, config=config, section="train", presets={"plus": PLUS}
    )
    assert settings.optimizer == "adamw"  # recipe says sgd
    assert settings.mask_rate == 0.4  # preset says 0.3
    assert settings.units == BASE.train.units


@pytest.mark.parametrize("where", ["flag", "set"])
def test_preset_may_be_chosen_by_any_layer(where):
    given_by = {"flags": {"preset": "plus"}} if where == "flag" else {"sets": ["preset=plus"]}
    presets = {"paper": {}, "plus": PLUS}
    settings = resolve(TrainSettings, BASE.train, section="train", presets=presets, **given_by)
    assert settings.prior == "residual"


def test_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="preset: 'pluss' is none of paper, plus"):
        resolve(
            TrainSettings,
            section="train",
            flags={"preset": "pluss"},
            presets={"paper": {}, "plus": {}},
        )


def test_file_of_several_stages(tmp_path):
    config = write(tmp_path, "graph: {k_intra: 7}\nextract: {seed: 3}\ntrain:\n")
    assert resolve(GraphSettings, None, config=config, section="graph").k_intra == 7
    assert extract_with(config=config).seed == 3
    assert resolve(TrainSettings, BASE.train, config=config, section="train") == BASE.train
    assert resolve(EvalSettings, None, config=config, section="eval") == EvalSettings()


def test_units_as_text_or_list(tmp_path):
    for sets in (["units=intra,inter,inter"], ["units=[intra, inter, inter]"]):
        settings = resolve(TrainSettings, None, sets=sets, section="train")
        assert settings.units == ("intra", "inter", "inter")


def test_no_units_at_all(tmp_path):
    file = write(tmp_path, "units: none\n")
    for layer in ({"sets": ["units=none"]}, {"flags": {"units": ("none",)}}, {"config": file}):
        assert resolve(TrainSettings, BASE.train, section="train", **layer).units == ()
    with pytest.raises(ConfigError, match=r"units.1: input should be 'intra' or 'inter'"):
        resolve(TrainSettings, BASE.train, section="train", sets=["units=inter,none"])


def test_float_without_a_point_is_a_float():
    assert extract_with(sets=["baseline.lr=1e-3"]).baseline.lr == 0.001


def test_null_unsets():
    assert extract_with(sets=["data.fold=null"]).data.fold is None


def test_all_problems_in_one_message(tmp_path):
    config = write(tmp_path, "baseline: {epoch: 4, lr: fast}\ndata: {fold: true}\n")
    message = problem(
        config=config,
        sets=["lr=3", "noequals", "data.val_fraction=.inf"],
        flags={"baseline.epochs": 0},
    )
    assert message.startswith("7 problems in the parameters of extract")
    for part in (
        "unknown key `baseline.epoch` (mine.yaml); did you mean `baseline.epochs`?",
        "baseline.lr: input should be a valid number, unable to parse string as a number, "
        "got 'fast' (mine.yaml)",
        "data.fold: expected a number, got true (mine.yaml)",
        "unknown key `lr` (--set); did you mean `baseline.lr`?",
        "--set noequals: expected KEY=VALUE",
        "data.val_fraction: expected a finite number, got inf (--set)",
        "baseline.epochs: input should be greater than 0, got 0 (--epochs)",
    ):
        assert part in message


def test_section_where_a_value_belongs_and_the_other_way_round(tmp_path):
    assert "baseline: expected `key: value` lines, got 3" in problem(
        config=write(tmp_path, "baseline: 3\n")
    )
    assert "seed: input should be a valid integer" in problem(
        config=write(tmp_path, "seed: {a: 1}\n")
    )


def test_model_validators_are_reported():
    message = problem(sets=["data.rating_min=4", "data.rating_max=1"])
    assert message == "data: rating_min must be below rating_max"


def test_unknown_section_is_refused(tmp_path):
    message = problem(config=write(tmp_path, "grap: {}\nextract: {}\n"))
    assert message == "unknown key `grap` (mine.yaml); did you mean `graph`?"


def test_missing_required_key_is_named():
    with pytest.raises(ConfigError, match=r"data\.layout: required, and not given"):
        resolve(
            ExtractSettings,
            {"baseline": {"backbone": "logmel"}, "data": {"fold": 1}},
            section="extract",
        )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seed: 1\nseed: 2\n", "line 2: the key `seed` is given twice, first in line 1"),
        ("a: &x [1]\nb: *x\n", "anchors and aliases are not allowed"),
        ("seed: !!int 3\n", "the tag tag:yaml.org,2002:int is not allowed"),
        ("seed: !!python/object/apply:os.system [x]\n", "is not allowed"),
        ("seed: [1\n", "expected ',' or ']'"),
        ("[" * 5000, "nested too deeply"),
        ("- 1\n", "expected `key: value` lines"),
        ("? [a]\n: 1\n", "a key must be plain text"),
        ("\x00", "not readable as YAML"),
        ("seed: 1\n---\nseed: 2\n", "another document"),
        (b"seed: \xff\xfe\n", "not UTF-8"),
        (b"#" * 1_000_001, "larger than"),
    ],
)
def test_hostile_or_broken_files(tmp_path, text, complaint):
    assert complaint in problem(config=write(tmp_path, text))


def test_missing_file(tmp_path):
    assert "No such file" in problem(config=tmp_path / "none.yaml")
    assert "Is a directory" in problem(config=tmp_path)


def test_a_billion_laughs_is_refused_at_once(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert "aliases" in problem(config=write(tmp_path, "\n".join(lines)))


def test_yaml_keeps_words_that_yaml_1_1_would_convert():
    for word in ("no", "yes", "on", "off", "0x1F", "1_000", "12:30", "2024-01-01", "010"):
        assert strict_yaml.parse(word, "x") == word


@given(st.floats(allow_nan=False))
def test_every_float_survives(value):
    parsed = strict_yaml.parse(repr(value).replace("inf", ".inf"), "x")
    assert isinstance(parsed, float)
    assert parsed == value


@given(st.integers())
def test_every_integer_survives(value):
    assert strict_yaml.parse(str(value), "x") == value


@given(st.text())
def test_any_text_gives_a_value_or_a_config_error(text):
    try:
        strict_yaml.parse(text, "x")
    except ConfigError as error:
        assert error.message.startswith("x")


@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_assignment_gives_settings_or_a_config_error(sets):
    try:
        settings = resolve(GraphSettings, None, sets=sets, section="graph")
    except ConfigError as error:
        assert error.exit_code == 2
    else:
        assert sets == [] or settings == GraphSettings()


def test_known_keys_are_every_leaf():
    class Inner(Settings):
        a: int = 1

    class Outer(Settings):
        b: int = 2
        inner: Inner = Inner()

    assert sorted(known_keys(Outer)) == ["b", "inner.a"]
    assert "data.layout" in known_keys(ExtractSettings)
    assert "data" not in known_keys(ExtractSettings)


NOT_OURS = {
    "--force-reinstall",  # of pip
    "--download",  # of gensim.downloader
    "--help",  # of every command, no parameter of any
}


def texts_of_errors() -> Iterator[str]:
    """String literals in calls of our errors and in what is assigned to a `hint`."""
    for path in sorted(Path(rrnet_cli.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and last_name(node.func) in vars(errors):
                parts = [*node.args, *(word.value for word in node.keywords)]
            elif isinstance(node, ast.Assign) and "hint" in map(last_name, node.targets):
                parts = [node.value]
            else:
                continue
            for inner in (each for part in parts for each in ast.walk(part)):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.value


def last_name(target: ast.expr) -> str:
    """`hint` of `error.hint`, say."""
    return ast.unparse(target).split(".")[-1]


def test_errors_name_options_and_settings_that_exist() -> None:
    options = {
        option
        for _, command in reference.commands()
        for param in command.params
        for option in (*param.opts, *param.secondary_opts)
    }
    settings = {
        key
        for model in (ExtractSettings, GraphSettings, TrainSettings, EvalSettings)
        for key in known_keys(model)
    }
    text = "\n".join(texts_of_errors())
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert "--lr" in named, "errors are found at all"
    assert named - options == NOT_OURS
    set_to = set(re.findall(r"--set ([\w.]+)", text))
    assert "data.rating_min" in set_to
    assert set_to <= settings
