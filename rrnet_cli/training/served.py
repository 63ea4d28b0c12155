"""DGL's servers and their clients: a partitioned graph in memory, one part a host.

DGL names shared memory after the data alone, finds a client's own server by the host's address and
keeps everything where the process dies, so two servers on one host, or two runs, would write over
each other. Here every name begins with the run's token and the part, and a client is told its part:
each part is as if on a host of its own, wherever it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dgl
import torch
from dgl.distributed import rpc
from dgl.distributed.dist_graph import DistGraphServer
from torch import Tensor

from rrnet_cli.graphs.edges import EdgeType
from rrnet_cli.graphs.parts import ROW, reverse_of
from rrnet_cli.models.engines.base import SOURCE, End
from rrnet_cli.training.dgl_names import be_host

SHARED_MEMORY = Path("/dev/shm")
_TOKEN = "rrnet-dist"


@dataclass(frozen=True)
class Site:
    """One host's place in a run.

    Attributes:
        token: Begins the name of all shared memory of the run on this host: `new_token`.
        hosts: Address and port of every server, in the order of the parts.
        index: Which part this host has.
        parts: Folder with DGL's `graph.json` and its parts.
        scratch: A folder of the run's own.
    """

    token: str
    hosts: tuple[tuple[str, int], ...]
    index: int
    parts: Path
    scratch: Path


def new_token() -> str:
    """A token for this process; what dead processes left under theirs is removed."""
    if SHARED_MEMORY.is_dir():
        for path in SHARED_MEMORY.glob(f"{_TOKEN}.*"):
            owner = path.name.split(".")[1]
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                path.unlink(missing_ok=True)
    return f"{_TOKEN}.{os.getpid()}."


def forget(token: str) -> None:
    """Remove what a run left in shared memory: its processes were killed, or DGL kept it."""
    if SHARED_MEMORY.is_dir():
        for path in SHARED_MEMORY.glob(f"{token}*"):
            path.unlink(missing_ok=True)


def serve(site: Site) -> None:
    """Serve the part until the clients end; blocks."""
    config = _prepare(site, "server")
    rpc.reset()
    server = DistGraphServer(
        site.index,
        str(site.scratch / "servers"),
        1,
        len(site.hosts),
        str(config),
        graph_format=("csc",),
    )
    server.start()


def connect(site: Site) -> dgl.distributed.DistGraph:
    """The whole graph, as the host's client sees it. `disconnect` before the process ends."""
    _prepare(site, "client")
    dgl.distributed.initialize(str(site.scratch / "servers"))
    return dgl.distributed.DistGraph(_name(site))


def disconnect() -> None:
    """Wait for all clients, then let the servers end."""
    dgl.distributed.exit_client()


def _prepare(site: Site, role: str) -> Path:
    """Settle names and addresses in this process; returns the configuration of the parts."""
    os.environ.update(
        DGL_DIST_MODE="distributed", DGL_ROLE=role, DGL_NUM_SERVER="1", DGL_NUM_SAMPLER="0"
    )
    be_host(_name(site), site.index)
    addresses = "".join(f"{address} {port}\n" for address, port in site.hosts)
    site.scratch.mkdir(parents=True, exist_ok=True)
    _write(site.scratch / "servers", addresses)
    config: dict[str, Any] = json.loads((site.parts / "graph.json").read_text("utf-8"))
    config["graph_name"] = _name(site)
    for number in range(len(site.hosts)):
        files: Mapping[str, str] = config[f"part-{number}"]
        config[f"part-{number}"] = {
            what: str((site.parts / name).absolute()) for what, name in files.items()
        }
    path = site.scratch / f"{site.index}.json"
    _write(path, json.dumps(config))
    return path


def _write(path: Path, text: str) -> None:
    """Write in one step: the processes of a host write the same."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _name(site: Site) -> str:
    return f"{site.token}{site.index}"


@dataclass(frozen=True)
class Neighbours:
    """Draws edges of a partitioned graph; nodes and inter-edges have their numbers in the parts.

    Attributes:
        graph: All servers.
        kinds: Canonical edge type of each relation.
        edge: (num_inter_edges,) number of each row of the graph's table of inter-edges.
    """

    graph: dgl.distributed.DistGraph
    kinds: Mapping[str, EdgeType]
    edge: Tensor

    def draw(self, name: str, end: End, nodes: Tensor, count: int) -> Tensor:
        """As `sampling.Draw`: each server draws for the nodes of its part."""
        backward = end == SOURCE
        kind = reverse_of(self.kinds[name]) if backward else self.kinds[name]
        # One number would be the total over all edge types.
        fanout = {other: count if other == kind else 0 for other in self.graph.canonical_etypes}
        found = dgl.distributed.sample_etype_neighbors(self.graph, {kind[2]: nodes}, fanout)
        src, dst = found.edges(etype=kind, order="eid")
        if not len(src):
            return nodes.new_empty(3, 0)
        ids = found.edges[kind].data[dgl.EID]
        if backward:
            return torch.stack([self.edge[self.graph.edges[kind].data[ROW][ids]], dst, src])
        return torch.stack([ids, src, dst])
