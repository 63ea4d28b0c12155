"""`rrnet artifacts`: list, show, verify and clean what is in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rrnet_cli.cli.plain import outline, size, table
from rrnet_cli.errors import (
    ArtifactCorruptError,
    ArtifactFormatError,
    ArtifactMissingError,
    ConfigError,
    ResourceError,
    RRNetError,
)

if TYPE_CHECKING:
    from rrnet_cli.store.maintenance import Entry, Lineage

app = typer.Typer(add_completion=False)

Reference = Annotated[
    str, typer.Argument(metavar="REF", help="NAME, KIND/NAME, either with @VERSION, or a path.")
]
_STATES = (
    (ArtifactFormatError, "newer format"),
    (ArtifactMissingError, "incomplete"),
    (ArtifactCorruptError, "corrupt"),
    (ResourceError, "unreadable"),
)


@app.command("ls")
def list_artifacts(
    ctx: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(
            help="baseline, shard, features, graph, partition, model, sweep or evaluation."
        ),
    ] = None,
) -> None:
    """List what is in the store; the newest version of a name is marked with a star."""
    from rrnet_cli.store.maintenance import list_entries
    from rrnet_cli.store.reference import FORMATS

    if kind not in (None, *FORMATS):
        raise ConfigError(f"{kind!r} is no kind of artifact", f"there are: {', '.join(FORMATS)}")
    session = ctx.obj
    store = session.store()
    entries = list_entries(store, kind)
    rows = [
        (
            f"{entry.ref}{' *' if entry.newest else ''}",
            entry.manifest.created[:19].replace("T", " ") if entry.manifest else "-",
            size(entry.bytes),
            _state(entry.problem),
        )
        for entry in entries
    ]
    session.emit(
        {"artifacts": [_entry(entry) for entry in entries]},
        table(("artifact", "created (UTC)", "size", "state"), rows)
        if rows
        else f"no artifacts in {store.root}",
    )


@app.command()
def show(ctx: typer.Context, ref: Reference) -> None:
    """Show an artifact's manifest: parameters, inputs, files, summary."""
    session = ctx.obj
    artifact = session.store().resolve(None, ref)
    manifest = artifact.manifest
    files = [
        (name, size(record.size), record.sha256[:12], _content(record))
        for name, record in manifest.files.items()
    ]
    lines = [
        str(artifact.ref),
        f"path     {artifact.path}",
        f"created  {manifest.created} in {manifest.wall_seconds:g} s "
        f"(processor {manifest.cpu_seconds:g} s, peak memory {size(manifest.peak_memory_bytes)})",
        *(f"{role:8} {source}" for role, source in manifest.inputs.items()),
        *outline("params", manifest.params),
        *outline("summary", manifest.summary),
        *outline("versions", manifest.versions),
        "",
        table(("file", "size", "sha256", "content"), files),
    ]
    result = {**manifest.model_dump(mode="json"), "path": str(artifact.path)}
    session.emit(result, "\n".join(lines))


@app.command()
def path(ctx: typer.Context, ref: Reference) -> None:
    """Print the folder of an artifact."""
    session = ctx.obj
    artifact = session.store().resolve(None, ref)
    session.emit({"artifact": str(artifact.ref), "path": str(artifact.path)}, str(artifact.path))


@app.command()
def verify(
    ctx: typer.Context,
    ref: Annotated[str | None, typer.Argument(metavar="[REF]", help="See `show`.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every artifact there is.")] = False,
) -> None:
    """Compare every byte with the manifests; exit 5 when one is corrupt, 4 when incomplete."""
    from rrnet_cli.store import maintenance

    if (ref is None) != everything:
        raise ConfigError("verify wants one artifact or --all", "`rrnet artifacts verify --all`")
    session = ctx.obj
    store = session.store()
    wanted = [ref] if ref is not None else store.refs()
    checked = [maintenance.verify(store, each) for each in wanted]
    lines: list[str] = []
    for found, problems in checked:
        lines.append(f"{_state(problems[0] if problems else None):12} {found}")
        lines.extend(f"  {problem.message}\n  hint: {problem.hint}" for problem in problems)
    results = [
        {"artifact": str(found), "ok": not problems, "problems": [_problem(p) for p in problems]}
        for found, problems in checked
    ]
    session.emit({"artifacts": results}, "\n".join(lines) or f"no artifacts in {store.root}")
    codes = [problem.exit_code for _, problems in checked for problem in problems]
    if codes:
        raise typer.Exit(5 if 5 in codes else max(codes))


@app.command()
def lineage(ctx: typer.Context, ref: Reference) -> None:
    """Show what an artifact was made from, and what was made from it."""
    from rrnet_cli.store import maintenance

    session = ctx.obj
    store = session.store()
    found = store.locate(None, ref)
    tree = maintenance.lineage(store, found)
    users = maintenance.users(store, found)
    lines = [*_tree_lines(tree), *(f"used by: {user}" for user in users)]
    session.emit({**_tree(tree), "used_by": [str(user) for user in users]}, "\n".join(lines))


@app.command()
def diff(ctx: typer.Context, a: Reference, b: Reference) -> None:
    """Show in which parameters, inputs, data and files two artifacts differ."""
    from rrnet_cli.store import maintenance

    session = ctx.obj
    store = session.store()
    left, right = store.resolve(None, a), store.resolve(None, b)
    changes = maintenance.diff(left.manifest, right.manifest)
    lines = [f"- {left.ref}", f"+ {right.ref}"]
    for section, changed in changes.items():
        lines.append(section)
        lines.extend(f"  {key}: {old} -> {new}" for key, (old, new) in changed.items())
    if not changes:
        lines.append("no difference")
    result = {
        section: {key: {"a": old, "b": new} for key, (old, new) in changed.items()}
        for section, changed in changes.items()
    }
    session.emit({"a": str(left.ref), "b": str(right.ref), "changes": result}, "\n".join(lines))


@app.command("rm")
def remove(
    ctx: typer.Context,
    ref: Reference,
    force: Annotated[
        bool, typer.Option("--force", help="Even if other artifacts were made from it.")
    ] = False,
) -> None:
    """Delete one version of an artifact."""
    from rrnet_cli.store import maintenance

    session = ctx.obj
    store = session.store()
    found = store.locate(None, ref)
    maintenance.remove(store, found, force=force)
    session.emit({"removed": str(found)}, f"removed {found}")


@app.command()
def gc(
    ctx: typer.Context,
    keep: Annotated[
        int | None,
        typer.Option(help="Also remove all but the newest KEEP versions of every name."),
    ] = None,
    days: Annotated[
        float, typer.Option(min=0, help="Age of abandoned checkpoints and damaged artifacts.")
    ] = 7.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove leftovers of dead processes; with --keep, old versions that nothing kept is made from.

    What a running stage writes or reads is left alone.
    """
    from rrnet_cli.store.collection import collect

    session = ctx.obj
    removed = collect(session.store(), keep=keep, dry_run=dry_run, days=days)
    total = sum(item.bytes for item in removed)
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {item.path} ({size(item.bytes)}): {item.reason}" for item in removed]
    session.emit(
        {"removed": [vars(item) for item in removed], "bytes": total, "dry_run": dry_run},
        "\n".join([*lines, f"{verb} {len(removed)} things, {size(total)}"]),
    )


@app.command()
def repair(ctx: typer.Context, ref: Reference) -> None:
    """Set a corrupt or incomplete artifact aside, so that its stage makes it again."""
    from rrnet_cli.store import maintenance
    from rrnet_cli.store.reference import STAGES

    session = ctx.obj
    store = session.store()
    found = store.locate(None, ref)
    problems, aside = maintenance.repair(store, found)
    users = maintenance.users(store, found) if aside else []
    lines = [problem.message for problem in problems]
    if aside is None:
        lines.append(f"{found} is sound: nothing to do")
    else:
        lines.append(f"set aside as {aside}; run `{STAGES[found.kind]}` again to make it anew")
        lines.extend(f"made from it: {user}" for user in users)
    result = {
        "artifact": str(found),
        "problems": [_problem(problem) for problem in problems],
        "set_aside": None if aside is None else str(aside),
        "used_by": [str(user) for user in users],
    }
    session.emit(result, "\n".join(lines))


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "artifact": str(entry.ref),
        "kind": entry.ref.kind,
        "name": entry.ref.name,
        "version": entry.ref.version,
        "newest": entry.newest,
        "bytes": entry.bytes,
        "state": _state(entry.problem),
        "created": entry.manifest.created if entry.manifest else None,
        "summary": entry.manifest.summary if entry.manifest else None,
    }


def _problem(error: RRNetError) -> dict[str, Any]:
    return {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}


def _state(problem: RRNetError | None) -> str:
    return next((word for kind, word in _STATES if isinstance(problem, kind)), "ok")


def _tree(tree: Lineage) -> dict[str, Any]:
    return {
        "artifact": str(tree.ref),
        "problem": tree.problem,
        "inputs": {role: _tree(branch) for role, branch in tree.inputs.items()},
    }


def _tree_lines(tree: Lineage, role: str = "", depth: int = 0) -> list[str]:
    label = f"{role}: " if role else ""
    trouble = f"  ({tree.problem})" if tree.problem else ""
    lines = [f"{'  ' * depth}{label}{tree.ref}{trouble}"]
    for name, branch in tree.inputs.items():
        lines.extend(_tree_lines(branch, name, depth + 1))
    return lines


def _content(record: Any) -> str:
    if record.columns is not None:
        return f"{record.rows:,} rows: {', '.join(name for name, _ in record.columns)}"
    if record.tensors is not None:
        return ", ".join(
            f"{name} {tensor.dtype} {tensor.shape}" for name, tensor in record.tensors.items()
        )
    return ""
