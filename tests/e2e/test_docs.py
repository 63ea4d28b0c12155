"""The documentation is a tested contract."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rrnet_cli.cli import reference
from tests.conftest import ROOT

CLI_PAGE = ROOT / "docs" / "cli.md"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
COMMANDS = dict(reference.commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    assert f"### rrnet {name}\n" in CLI_PAGE.read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_parameter_has_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.help and command.help.rstrip().endswith(".")
    assert all(param.help for param in command.params)


def test_the_reference_is_fresh() -> None:
    text = CLI_PAGE.read_text()
    assert reference.refresh(text) == text, "run `make docs`"


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        reference.refresh("# nothing")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_in_the_pages_exist(page: Path) -> None:
    """Every ``rrnet COMMAND --option`` in a code block or span is one that there is."""
    known = {"": {"--help", "--install-completion", "--show-completion", "--version", "--json"}}
    for name, command in COMMANDS.items():
        options = (opt for param in command.params for opt in [*param.opts, *param.secondary_opts])
        known[name] = {"--help", *options}
    for line in _commands_in(page.read_text()):
        words = line.split()[1:]
        while words and words[0] in ("-q", "--json"):  # of all commands
            del words[0]
        name = next((n for n in (" ".join(words[:2]), " ".join(words[:1])) if n in known), None)
        name = "" if name is None and (not words or words[0].startswith("-")) else name
        assert name is not None or words[0].isupper(), line
        if name is not None:
            given = {word.partition("=")[0].rstrip(",;") for word in words if word[:2] == "--"}
            assert given <= known[name], line


def _commands_in(text: str) -> list[str]:
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [
        line.removeprefix("$ ").split("#")[0].strip()
        for block in blocks
        for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(r"`(rrnet [^`]*)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [line for line in lines if line.startswith("rrnet ")]
