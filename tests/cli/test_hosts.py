from __future__ import annotations

from pathlib import Path

import pytest

from rrnet_cli.cli.hosts import PORT, Parts, read_hosts
from rrnet_cli.errors import ConfigError
from rrnet_cli.store.store import Store


def written(folder: Path, text: str) -> Path:
    path = folder / "hosts"
    path.write_text(text)
    return path


def test_a_line_is_an_address_and_perhaps_a_port(tmp_path: Path) -> None:
    path = written(
        tmp_path, "# the cluster\n10.0.0.1\n\nnode-b 4000  # the big one\n10.0.0.1 4000\n"
    )
    assert read_hosts(path) == [("10.0.0.1", PORT), ("node-b", 4000), ("10.0.0.1", 4000)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "names no host"),
        ("# nothing\n", "names no host"),
        ("a 1\nb x\n", "line 2"),
        ("a 1 2\n", "line 1"),
        ("a 0\n", "line 1"),
        ("a 65534\n", "line 1"),
        ("a -1\n", "line 1"),
        ("a 400\na 400\n", "port 400 of a is in use"),
        ("a 400\na 402\n", "port 402 of a is in use"),
        ("a 400\nb 500\nb 500\n", "port 500 of b is in use"),
    ],
)
def test_what_says_no_place_is_refused(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        read_hosts(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere cannot be read"):
        read_hosts(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("reference", "local", "hosts", "index", "instead", "what"),
    [
        (None, True, False, None, {}, "for a partitioned graph"),
        ("p", False, False, None, {}, "where the parts are trained"),
        ("p", True, True, 0, {}, "where the parts are trained"),
        ("p", False, True, None, {}, "where the parts are trained"),
        ("p", True, False, 0, {}, "where the parts are trained"),
        ("p", True, False, None, {"GRAPH": "g"}, "GRAPH and --partitions"),
        ("p", True, False, None, {"--nproc": 2}, "--nproc and --partitions"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path,
    reference: str | None,
    local: bool,
    hosts: bool,
    index: int | None,
    instead: dict[str, object],
    what: str,
) -> None:
    with pytest.raises(ConfigError, match=what):
        Parts.named(
            Store(tmp_path),
            reference,
            local=local,
            hosts=tmp_path / "hosts" if hosts else None,
            index=index,
            instead=instead,
        )
