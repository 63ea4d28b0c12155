"""Features, graphs and models made by hand, whose every figure can be counted by a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from rrnet_cli.progress import SilentReporter
from rrnet_cli.settings import EvalSettings
from rrnet_cli.stages.evaluate import evaluate
from rrnet_cli.stages.judging import Source
from rrnet_cli.store.artifact import Artifact, ArtifactRef, Key
from rrnet_cli.store.digests import Fingerprint
from rrnet_cli.store.draft import Draft
from rrnet_cli.store.store import Outcome, Store

NUM, CLASSES, CANDIDATES = 48, 6, 2
USERS, ITEMS, SCALE = 12, 9, (1.0, 5.0)
SETTINGS = EvalSettings(resamples=200)
ROLES = np.array(["fit", "select", "test"])


def put(
    store: Store,
    kind: str,
    name: str,
    files: dict[str, Any],
    params: dict[str, Any],
    inputs: dict[str, ArtifactRef] | None = None,
    summary: dict[str, Any] | None = None,
    data: Fingerprint | None = None,
) -> ArtifactRef:
    def build(draft: Draft) -> None:
        for file, content in files.items():
            if isinstance(content, pa.Table):
                draft.write_table(file, content)
            else:
                draft.write_tensors(file, content)
        draft.summary.update(summary or {})

    key = Key(kind=kind, name=name, params=params, inputs=inputs or {}, data=data)
    return store.materialise(key, build).artifact.ref


def class_problem(
    store: Store, fold: int | None = 1, seed: int = 0, preset: str = "plus", **changes: Any
) -> ArtifactRef:
    """Features, graph and model of one fold; the instances of fold f are those with i % 3 == f."""
    rng = np.random.default_rng(fold or 0)
    labels = (np.arange(NUM) * 5 // 2 % CLASSES).astype(np.int64)
    roles = ROLES[(np.arange(NUM) + 2 - (fold or 0)) % 3]
    logits = rng.normal(size=(NUM, CLASSES)).astype(np.float32)
    logits[np.arange(NUM), labels] += 1
    features = put(
        store,
        "features",
        f"toy-fold{fold}",
        {
            "features.safetensors": {
                "audio": rng.normal(size=(NUM, 4)).astype(np.float32),
                "text": rng.normal(size=(CLASSES, 3)).astype(np.float32),
            },
            "prior.safetensors": {"logits": logits},
            "instances.parquet": pa.table(
                {"id": [f"clip{i}" for i in range(NUM)], "label": labels, "role": roles}
            ),
            "labels.parquet": pa.table({"name": [f"label {i}" for i in range(CLASSES)]}),
        },
        {"data": {"fold": fold, "split_seed": 0}, "seed": 0, "lr": changes.get("lr", 0.1)},
        summary={
            "task": "classification",
            "left": "audio",
            "right": "text",
            "recipe": "esc10",
            "dataset": "esc10",
            "backbone": "envnet",
        },
        data=changes.get("data"),
    )
    best = np.sort(np.argsort(-logits, axis=1)[:, :CANDIDATES], axis=1)
    src, dst = np.repeat(np.arange(NUM), CANDIDATES), best.ravel()
    order = np.lexsort((src, dst))
    src, dst = src[order], dst[order]
    role = changes.get("edge_role", roles[src])
    target = (labels[src] == dst).astype(np.float32)
    if not changes.get("leak"):
        target[role == "test"] = np.nan
    graph = put(
        store,
        "graph",
        f"toy-fold{fold}",
        {
            "edges/audio.inter.text.parquet": pa.table(
                {
                    "src": src,
                    "dst": dst,
                    "weight": np.ones(len(src), np.float32),
                    "prior": logits[src, dst],
                    "target": pa.array(target, from_pandas=False),
                    "role": role,
                }
            )
        },
        {"k_inter": CANDIDATES},
        {"features": features},
    )
    return put_model(store, graph, features, f"toy-fold{fold}-{preset}", preset, seed)


def put_model(
    store: Store, graph: ArtifactRef, features: ArtifactRef, name: str, preset: str, seed: int
) -> ArtifactRef:
    history = {"epoch": [0, 1], "loss": [float("nan"), 0.5], "select_top1": [0.1, 0.2]}
    return put(
        store,
        "model",
        name,
        {"history.parquet": pa.table(history)},
        {"preset": preset, "seed": seed},
        {"graph": graph, "features": features},
    )


def seeds_of(store: Store, model: ArtifactRef, number: int) -> list[ArtifactRef]:
    """A model of seed 0, and others of the same graph."""
    source = Source.open(store, str(model))
    refs = (source.graph.ref, source.features.ref)
    names = {seed: f"{model.name}-seed{seed}" for seed in range(1, number)}
    return [model, *(put_model(store, *refs, name, "plus", seed) for seed, name in names.items())]


def rating_problem(
    store: Store, split_seed: int = 0, unrated: bool = True, shuffle: int | None = None
) -> ArtifactRef:
    user, item = (grid.ravel() for grid in np.meshgrid(range(USERS), range(ITEMS), indexing="ij"))
    rated = (user * 7 + item * 3) % 4 != 0
    rating = (1 + (user + 2 * item) % 5).astype(np.float32)
    rng = np.random.default_rng(split_seed)
    role = np.full(len(user), "none", dtype="<U6")
    role[rated] = ROLES[rng.integers(0, 3, rated.sum())]
    prior = (rating + rng.normal(size=len(rating)) * 2).astype(np.float32)
    features = put(
        store,
        "features",
        f"ratings-seed{split_seed}",
        {
            "ratings.parquet": pa.table(
                {
                    "user": user[rated],
                    "item": item[rated],
                    "rating": rating[rated],
                    "prior": prior[rated],
                    "role": role[rated],
                }
            ),
            "users.parquet": pa.table({"id": [f"u {i}" for i in range(USERS)]}),
            "items.parquet": pa.table({"id": [f"i{i}" for i in range(ITEMS)]}),
        },
        {"data": {"fold": None, "split_seed": split_seed}, "seed": 0},
        summary={
            "task": "rating",
            "left": "user",
            "right": "item",
            "scale": list(SCALE),
            "recipe": "filmtrust",
            "dataset": "filmtrust",
            "backbone": "rating-bias",
        },
    )
    kept = np.lexsort((user, item))
    kept = kept if unrated else kept[role[kept] == "fit"]
    target = np.where(np.isin(role, ["fit", "select"]), rating, np.nan).astype(np.float32)
    graph = put(
        store,
        "graph",
        f"ratings-seed{split_seed}",
        {
            "edges/user.inter.item.parquet": pa.table(
                {
                    "src": user[kept],
                    "dst": item[kept],
                    "weight": np.ones(len(kept), np.float32),
                    "prior": prior[kept],
                    "target": pa.array(target[kept], from_pandas=False),
                    "role": role[kept],
                }
            )
        },
        {
            "inter": "all" if unrated else "fit",
            **({} if shuffle is None else {"shuffle_intra": shuffle}),
        },
        {"features": features},
    )
    return put_model(store, graph, features, f"ratings-seed{split_seed}-plus", "plus", 0)


def some_scores(store: Store, model: Artifact, device: str = "auto") -> np.ndarray:
    """In place of `train.score`: noise around what the prior says, of the graph's size."""
    source = Source.open(store, str(model.ref))
    (file,) = source.graph.manifest.files
    prior = source.graph.table(file)["prior"].to_numpy()
    noise = np.random.default_rng(int(model.manifest.params["seed"])).normal(size=len(prior))
    if source.task == "rating":
        return (prior + noise).astype(np.float32)
    return (1 / (1 + np.exp(-prior - noise))).astype(np.float32)


def run(store: Store, *models: ArtifactRef, **options: Any) -> Outcome:
    settings = options.pop("settings", SETTINGS)
    defaults: dict[str, Any] = {"name": None, "reporter": SilentReporter()}
    return evaluate(settings, store=store, models=[str(m) for m in models], **defaults | options)


def metric(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in rows if row["metric"] == name)


def counted_by_hand(store: Store, ref: ArtifactRef, split: str = "test") -> tuple[list, list]:
    """Hits of baseline and RR-Net on each instance of the split, one by one."""
    model = store.resolve("model", str(ref))
    source = Source.open(store, str(ref))
    edges = source.graph.table("edges/audio.inter.text.parquet").to_pylist()
    scores = some_scores(store, model)
    logits = source.features.arrays("prior.safetensors")["logits"]
    baseline, rrnet = [], []
    for number, instance in enumerate(source.features.table("instances.parquet").to_pylist()):
        if instance["role"] == split:
            said = {e["dst"]: s for e, s in zip(edges, scores, strict=True) if e["src"] == number}
            rrnet.append(max(said, key=lambda c: said[c]) == instance["label"])
            baseline.append(int(logits[number].argmax()) == instance["label"])
    return baseline, rrnet
