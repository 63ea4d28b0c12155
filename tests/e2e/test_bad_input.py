"""Bad input of every kind: an exit code of docs/cli.md, one error line, nothing half made."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.conftest import COMMAND, ROOT, Result
from tests.e2e.conftest import version_folder

pytestmark = pytest.mark.filterwarnings("ignore")  # as in a process of its own

Invoke = Callable[..., Result]


def refused(result: Result, code: int, *words: str) -> None:
    """One error line that has all of `words`, the code, and nothing on stdout."""
    assert result.code == code, result
    assert result.out == ""
    assert len(result.error_lines) == 1, result.err
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err, (word, result.err)


def nothing_made(store: Path) -> bool:
    """Whether the store holds no artifact."""
    return not list(store.glob("*/*/[0-9a-f]*"))


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Two classes of eight short clips."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("dog", "cat")):
        folder = tmp_path / "sounds" / name
        folder.mkdir(parents=True)
        for clip in range(8):
            wave = 0.2 * np.sin(np.arange(8000) * (0.05 + 0.1 * number)) + rng.normal(0, 0.01, 8000)
            soundfile.write(folder / f"{clip}.wav", wave, 16000)
    return tmp_path / "sounds"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of eight pictures."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("dog", "cat")):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for index in range(8):
            pixels = rng.integers(0, 100, (16, 16, 3)) + 100 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "pictures"


def audio(data: Path, vectors: Path, *more: str) -> tuple[str | Path, ...]:
    return ("extract", "audio-folder", "--data", data, "--word-vectors", vectors, *more)


def image(data: Path, vectors: Path, *more: str) -> tuple[str | Path, ...]:
    words = ("--backbone", "pixels", "--word-vectors", vectors)
    return ("extract", "image-folder", "--data", data, *words, *more)


# Raw data


@pytest.mark.parametrize("dataset", ["esc10", "cifar10", "filmtrust", "ciao", "audio-folder"])
def test_a_missing_folder(invoke: Invoke, tmp_path: Path, dataset: str) -> None:
    result = invoke("extract", dataset, "--data", "nowhere")
    refused(result, 3, "nowhere")
    assert nothing_made(tmp_path / "artifacts")


@pytest.mark.parametrize("dataset", ["esc10", "audio-folder", "ratings"])
def test_no_folder_named(invoke: Invoke, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RRNET_DATA", raising=False)
    result = invoke("extract", dataset)
    assert result.code in (2, 3) and len(result.error_lines) == 1 and "--data" in result.err


def test_a_text_file_called_wav(invoke: Invoke, sounds: Path, vectors: Path) -> None:
    (sounds / "dog" / "note.wav").write_text("this is not sound")
    refused(invoke(*audio(sounds, vectors)), 3, "dog/note.wav", "--on-error skip")

    result = invoke(*audio(sounds, vectors, "--on-error", "skip", "--json"))
    assert result.code == 0, result.err
    assert result.json["summary"]["skipped"] == 1
    assert "dog/note.wav" in result.err, "the file that was left out is listed"


def test_a_clip_without_samples(invoke: Invoke, sounds: Path, vectors: Path) -> None:
    soundfile.write(sounds / "cat" / "none.wav", np.zeros(0), 16000)
    refused(invoke(*audio(sounds, vectors)), 3, "cat/none.wav")


def test_a_text_file_called_png(invoke: Invoke, pictures: Path, vectors: Path) -> None:
    (pictures / "dog" / "note.png").write_text("this is no picture")
    refused(invoke(*image(pictures, vectors)), 3, "dog/note.png")
    result = invoke(*image(pictures, vectors, "--on-error", "skip", "--json"))
    assert result.code == 0 and result.json["summary"]["skipped"] == 1


def test_a_truncated_png(invoke: Invoke, pictures: Path, vectors: Path) -> None:
    whole = (pictures / "dog" / "0.png").read_bytes()
    (pictures / "dog" / "0.png").write_bytes(whole[: len(whole) // 2])
    refused(invoke(*image(pictures, vectors)), 3, "dog/0.png")


def test_sixteen_bit_grey_is_scaled_not_refused(
    invoke: Invoke, pictures: Path, vectors: Path
) -> None:
    grey = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    Image.fromarray(grey).save(pictures / "dog" / "grey.png")
    result = invoke(*image(pictures, vectors, "--json"))
    assert result.code == 0 and result.json["summary"]["skipped"] == 0


def test_a_decompression_bomb(invoke: Invoke, pictures: Path, vectors: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + check

    side = (100_000).to_bytes(4, "big")
    head = chunk(b"IHDR", side + side + bytes([8, 0, 0, 0, 0]))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")
    (pictures / "dog" / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    refused(invoke(*image(pictures, vectors)), 3, "dog/bomb.png", "pixels")


def test_a_table_without_the_label_column(invoke: Invoke, sounds: Path, vectors: Path) -> None:
    table = sounds / "clips.csv"
    table.write_text("path,kind\ndog/0.wav,dog\ncat/0.wav,cat\n")
    words = ("--data", table, "--backbone", "logmel", "--word-vectors", vectors)
    refused(invoke("extract", "manifest", *words), 3, "clips.csv", "label")


def test_a_label_without_a_word_vector(invoke: Invoke, sounds: Path, vectors: Path) -> None:
    (sounds / "dog").rename(sounds / "zyzzyva")
    refused(invoke(*audio(sounds, vectors)), 3, "zyzzyva", "--oov")


# Ratings


def ratings(folder: Path, rows: str, trust: str = "1 2 1\n") -> tuple[str | Path, ...]:
    folder.mkdir(exist_ok=True)
    base = [
        f"{user} {item} {(user + item) % 4 + 1}" for user in range(1, 7) for item in range(1, 9)
    ]
    (folder / "ratings.txt").write_text("\n".join(base) + "\n" + rows)
    (folder / "trust.txt").write_text(trust)
    return ("extract", "filmtrust", "--data", folder)


def test_a_rating_outside_the_scale(invoke: Invoke, tmp_path: Path) -> None:
    refused(invoke(*ratings(tmp_path / "r", "1 20 9\n")), 3, "9", "49")


def test_duplicate_ratings_are_merged_or_refused(invoke: Invoke, tmp_path: Path) -> None:
    command = ratings(tmp_path / "r", "1 1 1\n")
    result = invoke(*command, "--json")
    assert result.code == 0, result.err
    assert sum(result.json["summary"]["ratings"].values()) == 48
    refused(invoke(*command, "--set", "data.duplicates=error"), 3, "49")


def test_a_user_in_trust_only_is_left_out_with_a_note(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(*ratings(tmp_path / "r", "", "1 2 1\n1 999 1\n"), "--json")
    assert result.code == 0, result.err
    assert result.json["summary"]["links"] == 1
    assert "1 " in result.err and "link" in result.err


# Configuration


def test_a_fold_that_is_not_there(invoke: Invoke, tmp_path: Path) -> None:
    from tests.layouts import write_esc

    write_esc(tmp_path / "esc", per_class=1, subset10=True, seconds=0.2)
    refused(invoke("extract", "esc10", "--data", "esc", "--fold", "9"), 2, "9")
    refused(invoke("extract", "esc10", "--data", "esc", "--fold", "none"), 2, "none")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("build-graph", "--k-intra", "0"), "k_intra"),
        (("build-graph", "--k-intra", "x"), "--k-intra"),
        (("build-graph", "--metric", "manhattan"), "manhattan"),
        (("train", "--preset", "best"), "best"),
        (("train", "--units", "intra,outer"), "outer"),
        (("train", "--lr", "nan"), "lr"),
        (("train", "--set", "hiden=3"), "hidden"),
        (("train", "--fanout", "10,10"), "batch_size and fanout go together"),
        (("eval", "--split", "train"), "train"),
        (("train", "--device", "cuda"), "cuda"),
    ],
)
def test_impossible_parameters(
    invoke: Invoke, store: Path, command: tuple[str, ...], said: str
) -> None:
    before = sorted(store.rglob("*"))
    result = invoke(*command)
    refused(result, 7 if "cuda" in command else 2, said)
    assert sorted(store.rglob("*")) == before, "nothing was written"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("leraning_rate: 1", "unknown key"),
        ("hiden: 16", "did you mean `hidden`"),
        ("hidden: 16\nhidden: 32", "twice"),
        ("hidden: many", "hidden"),
        ("hidden: [", "mine.yaml"),
        ("train: {hidden: 8}\ngrahp: {k_intra: 3}", "did you mean `graph`"),
    ],
)
def test_a_wrong_configuration_file(
    invoke: Invoke, store: Path, tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    refused(invoke("train", "--config", "mine.yaml"), 2, said)


def test_all_configuration_errors_at_once(invoke: Invoke, store: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("hiden: 16\nlr: fast\n")
    refused(invoke("train", "--config", "mine.yaml", "--epochs", "0"), 2, "hiden", "lr", "epochs")


# The store


def test_a_missing_upstream_artifact(invoke: Invoke, store: Path) -> None:
    refused(invoke("build-graph", "nothing"), 4, "nothing")
    refused(invoke("train", "digits-pixels@ffffff"), 4, "ffffff")
    shutil.rmtree(store / "graph")
    refused(invoke("train"), 4, "graph")


def test_an_empty_store(invoke: Invoke) -> None:
    for command in ("build-graph", "train", "eval"):
        refused(invoke(command), 4)


@pytest.mark.parametrize("kind", ["features", "graph", "model"])
def test_one_flipped_byte(invoke: Invoke, store: Path, kind: str) -> None:
    folder = version_folder(store, kind)
    victim = max(
        (p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"),
        key=lambda path: path.stat().st_size,
    )
    flip(victim)
    stage = {"features": "build-graph", "graph": "train", "model": "eval"}[kind]
    result = invoke(stage, "--force")
    refused(result, 5, victim.name)
    assert "repair" in result.err

    result = invoke("artifacts", "verify", "--all", "--json")
    assert result.code == 5
    result = invoke("artifacts", "repair", f"{kind}/{folder.parent.name}")
    assert result.code == 0, result.err
    refused(invoke(stage), 4)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file, keeping its times."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_an_artifact_of_a_newer_format(invoke: Invoke, store: Path) -> None:
    from rrnet_cli.store.digests import digest_json, pretty_json

    path = version_folder(store, "features") / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["format"] += 1
    manifest.pop("digest", None)
    manifest["digest"] = digest_json(manifest)
    path.chmod(0o644)
    text = pretty_json(manifest)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(invoke("build-graph", "digits-pixels"), 4, "format")


class Payload:
    """Unpickling this makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("flags", [(), ("--no-verify",)])
def test_a_pickle_called_safetensors_is_refused_and_not_run(
    invoke: Invoke, store: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    canary = tmp_path / "canary"
    victim = version_folder(store, "features") / "features.safetensors"
    victim.chmod(0o644)
    victim.write_bytes(pickle.dumps(Payload(canary)))
    refused(invoke("build-graph", "--force", *flags), 5, "features.safetensors")
    assert not canary.exists()


def test_nan_in_features(invoke: Invoke, store: Path, tmp_path: Path) -> None:
    """Sound bytes, unsound numbers: an artifact that another program made."""
    from rrnet_cli.store import Draft, Key, Store

    shelf = Store(tmp_path / "artifacts")
    source = shelf.resolve("features", None)
    arrays = {
        name: np.array(value) for name, value in source.arrays("features.safetensors").items()
    }
    arrays["image"][3, 2] = np.nan

    def build(draft: Draft) -> None:
        draft.write_tensors("features.safetensors", arrays)
        draft.write_tensors("prior.safetensors", source.arrays("prior.safetensors"))
        for name in ("instances.parquet", "labels.parquet"):
            draft.write_table(name, source.table(name))
        draft.summary.update(source.manifest.summary)

    made = shelf.materialise(Key("features", "bad", {"nan": True}, {}, None), build)
    refused(invoke("build-graph", str(made.artifact.ref)), 3, "NaN")


# The machine


def in_namespace(tmp_path: Path, script: str) -> Result:
    """Run a script where we may mount; skips where the kernel does not let us."""
    words = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"]).returncode != 0:
        pytest.skip("no user namespaces here")
    env = os.environ | {"PYTHONPATH": str(ROOT), "RRNET": " ".join(COMMAND), "COLUMNS": "200"}
    done = subprocess.run(
        [*words, "bash", "-euc", script], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_a_full_disk(tmp_path: Path) -> None:
    script = (
        "mkdir small && mount -t tmpfs -o size=48k tmpfs small\n"
        "$RRNET extract digits --limit 8 --artifacts small/store && exit 99 || code=$?\n"
        "find small -path '*/[0-9a-f]*' -name manifest.json >&2\n"
        "exit $code"
    )
    result = in_namespace(tmp_path, script)
    refused(result, 7, "No space left")
    assert "manifest.json" not in result.err


def test_a_read_only_file_system(tmp_path: Path) -> None:
    script = (
        "mkdir fixed && mount -t tmpfs -o ro tmpfs fixed\n"
        "$RRNET extract digits --limit 8 --artifacts fixed/store"
    )
    refused(in_namespace(tmp_path, script), 7, "fixed")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def test_a_folder_without_permission(locked: Path, tmp_path: Path) -> None:
    """Root passes every permission, so the process gives that right up first."""
    done = subprocess.run(
        [*COMMAND, "extract", "digits", "--limit", "8", "--artifacts", locked],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: ctypes.CDLL(None).prctl(24, 1, 0, 0, 0),  # drop CAP_DAC_OVERRIDE
        capture_output=True,
        text=True,
    )
    refused(Result(done.returncode, done.stdout, done.stderr), 7, "locked")


@pytest.mark.parametrize("command", ["extract digits", "train", "artifacts ls"])
def test_a_store_that_is_a_file(invoke: Invoke, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("x")
    refused(invoke(*command.split(), "--artifacts", "file"), 2, "file is no folder")
