"""Word vectors: every format read alike, hostile files refused before they cost memory."""

from __future__ import annotations

import gzip
import pickle
import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.errors import InputError, ResourceError
from rrnet_cli.features import vector_files
from rrnet_cli.features.word2vec import (
    PACKAGED,
    embed_labels,
    load_vectors,
    locate_vectors,
    split_words,
)

WORDS = ("the", "clock", "tick", "dog", "air", "plane", "naïve")
MATRIX = np.round(np.random.default_rng(0).normal(size=(len(WORDS), 5)), 4).astype(np.float32)


def binary(newline=b"\n") -> bytes:
    rows = (w.encode() + b" " + v.tobytes() + newline for w, v in zip(WORDS, MATRIX, strict=True))
    return f"{len(WORDS)} 5\n".encode() + b"".join(rows)


def text(header=True, end="\n") -> bytes:
    rows = (f"{w} {' '.join(f'{x:.4f}' for x in v)}" for w, v in zip(WORDS, MATRIX, strict=True))
    return ((f"{len(WORDS)} 5\n" if header else "") + "\n".join(rows) + end).encode()


FILES = {
    "w2v.bin": binary(),
    "no-newlines.bin": binary(b""),
    "w2v.txt": text(),
    "glove.txt": text(header=False),
    "glove-open-end.vec": text(header=False, end=""),
    "anything": binary(),
    "w2v.bin.gz": gzip.compress(binary(), mtime=0),
    "glove.txt.gz": gzip.compress(text(header=False), mtime=0),
}


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "w.bin"
    path.write_bytes(binary())
    return load_vectors(str(path))


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_vectors(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    loaded = load_vectors(str(path))
    assert tuple(loaded.index_to_key) == WORDS
    np.testing.assert_allclose(loaded.vectors, MATRIX, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("huge.bin", b"1000000000 8000\nthe \0\0\0\0", "promises 1,000,000,000 words"),
        ("huge.bin.gz", gzip.compress(b"100000000 8000\nthe \0\0\0\0", mtime=0), "cannot hold"),
        ("wide.txt", b"3 100000\nthe 1\n", "promises 3 words of 100000 numbers"),
        ("none.bin", b"0 5\n", "promises 0 words"),
        ("zero.bin", b"5 0\n\n\n\n\n\n\n", "promises 5 words of 0 numbers"),
        ("vast.bin", b"9" * 40 + b" 5\n", "neither a header nor"),
        ("empty.bin", b"", "has no lines"),
        ("prose.txt", b"It was a dark and stormy night.\n", "neither a header nor"),
        ("one-line", b"\x00" * 5000, "has no lines"),
        ("vectors.kv", binary(), "not read"),
        ("vectors.npy", binary(), "not read"),
        ("renamed.bin", pickle.dumps({"a": 1}) + b"\n", "neither a header nor"),
        ("packed.bin", gzip.compress(binary(), mtime=0), "not called .gz"),
        ("plain.gz", binary(), "cannot be read"),
        ("cut.bin", binary()[:-30], "cannot be read"),
        ("cut-glove.txt", text(header=False)[:-4] + b"x 1\n", "cannot be read"),
        ("cut.txt", text()[:-60], "cannot be read"),
        ("cut.bin.gz", gzip.compress(binary(), mtime=0)[:-20], "cannot be read"),
        ("text-then-words.txt", text().replace(b"tick ", b"tick x"), "cannot be read"),
        (
            "bomb.txt.gz",
            gzip.compress(b"a 1 2 3\n" * 10 + b"\n" * 50_000_000, mtime=0),
            "unpacks to more",
        ),
    ],
)
def test_hostile_and_broken_files(tmp_path, name, content, complaint):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=complaint) as caught:
        load_vectors(str(path))
    assert str(tmp_path) not in caught.value.message
    assert name in caught.value.message


def test_a_pickle_is_not_run(tmp_path):
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self):
            return (open, (str(canary), "w"))

    for name in ("v.bin", "v.txt", "v.vec"):
        (tmp_path / name).write_bytes(pickle.dumps(Payload()))
        with pytest.raises(InputError):
            load_vectors(str(tmp_path / name))
    assert not canary.exists()


@settings(max_examples=60, deadline=None)
@given(data=st.one_of(st.binary(max_size=300), st.binary(max_size=80).map(lambda b: b"3 2\n" + b)))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "v.bin"
    path.write_bytes(data)
    try:
        loaded = vector_files.read(path)
    except InputError:
        return
    assert loaded.vectors.shape == (len(loaded), loaded.vector_size)


def test_labels_are_means_of_their_words(vectors):
    table = embed_labels(["dog", "clock tick", "air-plane", "The_DOG"], vectors)
    index = WORDS.index
    expected = [
        MATRIX[index("dog")],
        (MATRIX[index("clock")] + MATRIX[index("tick")]) / 2,
        (MATRIX[index("air")] + MATRIX[index("plane")]) / 2,
        (MATRIX[index("the")] + MATRIX[index("dog")]) / 2,
    ]
    np.testing.assert_allclose(table, expected, atol=1e-6)
    assert table.dtype == np.float32


def test_all_unknown_words_are_named(vectors):
    with pytest.raises(InputError) as caught:
        embed_labels(["dog", "alarm clock", "qwxz"], vectors)
    assert caught.value.message == "the word vectors lack 'alarm' (of 'alarm clock'), 'qwxz'"
    assert "--oov" in caught.value.hint


def test_oov_rules(vectors):
    clock = MATRIX[WORDS.index("clock")]
    zeros = embed_labels(["alarm clock", "qwxz"], vectors, "zeros")
    np.testing.assert_allclose(zeros, [clock / 2, clock * 0], atol=1e-6)
    skipped = embed_labels(["alarm clock", "qwxz"], vectors, "skip-word")
    np.testing.assert_allclose(skipped, [clock, clock * 0], atol=1e-6)


def test_labels_without_words_and_vectors_with_nan(vectors):
    with pytest.raises(InputError, match="'---' has no word"):
        embed_labels(["dog", "---"], vectors)
    vectors.vectors[WORDS.index("dog"), 2] = np.nan
    with pytest.raises(InputError, match="'dog' holds NaN"):
        embed_labels(["clock", "dog"], vectors)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clock tick", ["clock", "tick"]),
        ("crying_baby", ["crying", "baby"]),
        ("air-plane", ["air", "plane"]),
        ("o'clock", ["o'clock"]),
        ("naïve 2", ["naïve", "2"]),
        ("pick/up (truck)", ["pick", "up", "truck"]),
        (" _ ", []),
    ],
)
def test_split_words(name, words):
    assert split_words(name) == words


def test_packaged_vectors_missing_gives_the_pip_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ResourceError) as caught:
        locate_vectors(PACKAGED)
    assert caught.value.exit_code == 7
    assert "pip install 'rrnet[vectors]'" in caught.value.hint


def fake_package(tmp_path, monkeypatch, words):
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = tmp_path / "pkg" / "data"
    data.mkdir(parents=True)
    np.save(data / "glove_6B_50d_emb.npy", MATRIX)
    pq.write_table(pa.table({"index": list(words)}), data / "glove_6B_index.parquet")
    spec = types.SimpleNamespace(origin=str(tmp_path / "pkg" / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)


def test_packaged_vectors(tmp_path, monkeypatch):
    fake_package(tmp_path, monkeypatch, WORDS)
    source = locate_vectors(PACKAGED)
    assert source.name == PACKAGED
    assert [file.name for file in source.files] == [
        "glove_6B_50d_emb.npy",
        "glove_6B_index.parquet",
    ]
    loaded = load_vectors(PACKAGED)
    np.testing.assert_allclose(embed_labels(["dog"], loaded), MATRIX[[3]], atol=1e-6)


def test_damaged_package(tmp_path, monkeypatch):
    fake_package(tmp_path, monkeypatch, WORDS[:-1])
    with pytest.raises(ResourceError, match="not as expected"):
        load_vectors(PACKAGED)
    (tmp_path / "pkg" / "data" / "glove_6B_50d_emb.npy").write_bytes(pickle.dumps([1]))
    with pytest.raises(ResourceError, match="cannot be read"):
        load_vectors(PACKAGED)


def test_gensim_data_is_read_but_its_module_never_run(tmp_path, monkeypatch):
    folder = tmp_path / "my-vectors-5"
    folder.mkdir()
    (folder / "my-vectors-5.gz").write_bytes(gzip.compress(text(), mtime=0))
    (folder / "__init__.py").write_text("raise RuntimeError('run')")
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path))
    assert len(load_vectors("my-vectors-5")) == len(WORDS)
    assert "my-vectors-5" not in sys.modules
    for name in ("not-there", "a b", "nul\0"):
        with pytest.raises(ResourceError, match="not on this machine"):
            load_vectors(name)


def test_paths_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="do not exist"):
        locate_vectors(str(tmp_path / "none.bin"))
    with pytest.raises(InputError, match="is a folder"):
        locate_vectors(str(tmp_path))
