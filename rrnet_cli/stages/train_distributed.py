"""Stage `train` on a partition: servers and trainers, watched over, to a model artifact."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rrnet_cli.errors import ConfigError
from rrnet_cli.models.rrnet import LEFT, RIGHT, count_parameters
from rrnet_cli.progress import Reporter
from rrnet_cli.settings import TrainSettings
from rrnet_cli.stages._bonds import Bonds, bonds_of
from rrnet_cli.stages._crew import Crew, Member
from rrnet_cli.stages._problem import load_problem
from rrnet_cli.stages.fitting import Fitted, note_plain_engine, write
from rrnet_cli.stages.partition import MAPPING, PARTS
from rrnet_cli.stages.train import check_device, check_engine, check_settings
from rrnet_cli.store.reference import Key
from rrnet_cli.store.store import Outcome, Store
from rrnet_cli.training.loop import Progress
from rrnet_cli.training.problem import moments
from rrnet_cli.training.processes import PATIENCE, member
from rrnet_cli.training.served import Site, connect, disconnect, forget, new_token, serve

if TYPE_CHECKING:
    from rrnet_cli.store.artifact import Artifact
    from rrnet_cli.store.draft import Draft
    from rrnet_cli.training.distributed import Leader

Hosts = Sequence[tuple[str, int]]


def train_distributed(
    settings: TrainSettings,
    *,
    store: Store,
    partition: Artifact,
    name: str | None,
    reporter: Reporter,
    hosts: Hosts,
    index: int | None,
    force: bool = False,
    resume: bool = True,
    device: str = "auto",
    engine: str = "auto",
) -> Outcome | None:
    """Train RR-Net on the parts of a graph, one server and one trainer a part.

    Args:
        settings: Of the stage; the model's version depends on them, the graph and the partition.
        store: Where artifacts are; every host reads the partition, host 0 the graph too.
        partition: What is served.
        name: Of the model artifact; `<partition name>-<preset>` where None.
        reporter: Progress and notes.
        hosts: Address and port of each part's server.
        index: Which host this is; None where this machine has all parts.
        force: Train again even where the same version is there.
        resume: Go on from an interrupted run's checkpoint, which host 0 has.
        device: `auto` or `cpu`.
        engine: One of `engines.NAMES`.

    Returns:
        The model artifact, as `train` makes it; None on a host other than 0 that took part.

    Raises:
        ConfigError: Settings that do not fit the graph, or no batch size.
        DivergedError: A loss that became NaN or infinite.
        ResourceError: A server, a trainer or another host ended before its time.
    """
    check_device(device)
    check_engine(engine)
    features = store.resolve("features", str(partition.manifest.inputs["features"]))
    check_settings(settings, features)
    if settings.batch_size is None:
        raise ConfigError(
            "Training on parts works on samples of the graph.",
            "Give --batch-size and --fanout, such as --batch-size 256 --fanout 10,10.",
        )
    parts = int(str(partition.manifest.summary["parts"]))
    if len(hosts) != parts:
        raise ConfigError(
            f"{partition.ref} has {parts} parts, but there are {len(hosts)} hosts.",
            f"Cut the graph with --parts {len(hosts)}, or name {parts} hosts.",
        )
    key = Key(
        kind="model",
        name=name or f"{partition.ref.name}-{settings.label}",
        params=settings.recorded(),
        inputs={**partition.manifest.inputs, "partition": partition.ref},
        data=None,
    )
    partition.verify()
    here = range(parts) if index is None else (index,)

    def run(workspace: Path | None) -> Any:
        with bonds_of(hosts, index) as bonds:
            job = _Job(
                settings,
                store.root.absolute(),
                partition.verifies,
                str(partition.ref),
                engine,
                workspace,
                resume and not force,
                len(here),
            )
            return _run(job, partition, reporter, hosts, here, bonds)

    def build_artifact(draft: Draft) -> None:
        note_plain_engine(engine, reporter)
        result = run(store.workspace(key).absolute())
        progress = Progress(result["epochs"], result["history"])
        fitted = Fitted(result["weights"], progress, result["parameters"], result["engine"])
        write(draft, fitted, features)
        draft.summary["parts"] = parts

    if index and (force or store.find(key) is None):
        run(None)
        return None
    return store.materialise(key, build_artifact, force=force)


@dataclass(frozen=True)
class _Job:
    """What the trainers of a host are told; the last four as in `fit` and `Group`."""

    settings: TrainSettings
    store: Path
    verify: bool
    partition: str
    engine: str
    workspace: Path | None
    resume: bool
    local_size: int


def _run(
    job: _Job,
    partition: Artifact,
    reporter: Reporter,
    hosts: Hosts,
    here: Sequence[int],
    bonds: Bonds,
) -> Any:
    """Start what this host runs, and see to it that all of it ends; the leader's result."""
    token = new_token()
    threads = max(1, torch.get_num_threads() // len(here))
    with tempfile.TemporaryDirectory(prefix="rrnet-") as scratch:
        sites = [
            Site(token, tuple(hosts), part, partition.path / Path(PARTS).parent, Path(scratch))
            for part in here
        ]
        members = [Member(f"The server of part {site.index}", serve, (site,)) for site in sites]
        members += [
            Member(f"The trainer of part {site.index}", _train, (site, job), reports=True)
            for site in sites
        ]
        try:
            with (
                Crew(members, Path(scratch), threads, bonds) as crew,
                reporter.task("training RR-Net", job.settings.epochs, unit="epoch") as task,
            ):
                return crew.result(task.advance)
        finally:
            forget(token)


def _train(report: Callable[[int, str], None], site: Site, job: _Job) -> dict[str, Any] | None:
    """A trainer's process; that of part 0 leads and returns what the artifact is made of."""
    import torch.distributed as torch_group

    from rrnet_cli.training.distributed import fit

    store = Store(job.store, verify=job.verify)
    partition = store.resolve("partition", job.partition)
    mapping = partition.tensors(MAPPING)
    leader = _leader(store, partition, job, mapping) if site.index == 0 else None
    graph = connect(site)
    address, port = site.hosts[0]
    torch_group.init_process_group(
        "gloo",
        init_method=f"tcp://{address}:{port + 1}",
        rank=site.index,
        world_size=len(site.hosts),
        timeout=PATIENCE,
    )
    os.environ["LOCAL_WORLD_SIZE"] = str(job.local_size)
    fit(
        graph,
        mapping["edge"],
        leader,
        job.settings,
        job.engine,
        group=member(),
        workspace=job.workspace if leader is not None else None,
        resume=job.resume,
        told=report,
    )
    disconnect()
    if leader is None:
        return None
    # As plain arrays: tensors would go by shared memory, which ends with this process.
    progress = leader.progress
    return {
        "weights": {name: value.numpy() for name, value in progress.best.items()},
        "history": progress.history,
        "epochs": progress.epochs,
        "parameters": count_parameters(leader.network),
        "engine": leader.network.rrnet.engine.name,
    }


def _leader(
    store: Store, partition: Artifact, job: _Job, mapping: Mapping[str, torch.Tensor]
) -> Leader:
    """The ordinary problem, and where its nodes and edges are in the parts."""
    from rrnet_cli.training.distributed import Leader

    graph, features = (
        store.resolve(kind, str(partition.manifest.inputs[kind])) for kind in ("graph", "features")
    )
    problem = load_problem(graph, features, job.settings)
    sides = {side: str(partition.manifest.summary[side]) for side in (LEFT, RIGHT)}
    tensors = features.tensors("features.safetensors")
    # These settings put other attributes in the place of the features that the parts hold.
    replaced = {"degree": (LEFT, RIGHT), "none": (LEFT,)}.get(job.settings.attributes, ())
    served = {}
    for side, kind in sides.items():
        if side not in replaced:
            width = tensors[kind].shape[1]
            plain = torch.zeros(width), torch.ones(width)
            standard = job.settings.normalise == "standard"
            served[side] = moments(tensors[kind].float()) if standard else plain
    node = {side: mapping[f"node.{kind}"] for side, kind in sides.items()}
    return Leader(problem, job.settings, job.engine, served, sides, node, mapping["edge"])
