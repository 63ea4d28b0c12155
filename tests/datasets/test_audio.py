from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rrnet_cli.datasets.audio_decode import decode_clip
from rrnet_cli.datasets.base import FIT, SELECT, TEST
from rrnet_cli.errors import ConfigError, InputError
from tests.datasets.helpers import RATE, Notes, load, sine
from tests.layouts import ESC10, ESC50, write_esc


@pytest.fixture(scope="module")
def esc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("esc")
    write_esc(root, per_class=10, subset10=True, seconds=0.1)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("dog_bark", "rain"):
        (tmp_path / name).mkdir()
        for number in range(6):
            soundfile.write(tmp_path / name / f"{number}.wav", sine(200 + number), RATE)
    return tmp_path


def rewrite_csv(root: Path, change) -> None:
    table = root / "meta" / "esc50.csv"
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows = change(rows)
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# the ESC layout


def test_esc_names_labels_and_clips(esc):
    data = load(esc, layout="esc", fold=1)
    assert len(data.ids) == 100
    assert data.class_names == tuple(ESC50[t].replace("_", " ") for t in ESC10)
    assert data.sample_rate == RATE
    for name, label, clip in zip(data.ids, data.labels, data.clips, strict=True):
        assert ESC10[label] == int(name.rsplit("-", 1)[1].removesuffix(".wav"))
        assert clip.dtype == np.int16
        assert clip[0] != 0 != clip[-1]
        assert (clip == decode_clip(esc / name, RATE)).all()
    assert min(map(len, data.clips)) < 0.95 * max(map(len, data.clips))  # zero tails are cut


@pytest.mark.parametrize("fold", [1, 5])
def test_esc_holds_one_fold_out_and_recordings_never_straddle(esc, fold):
    data = load(esc, layout="esc", fold=fold)
    folds = np.array([int(name.split("/")[1][0]) for name in data.ids])
    assert ((data.roles == TEST) == (folds == fold)).all()
    source = np.array([name.split("-")[1] for name in data.ids])
    fit, select = (set(source[data.roles == role]) for role in (FIT, SELECT))
    assert select
    assert not fit & select
    counts = [(data.labels[data.roles == SELECT] == c).sum() for c in range(10)]
    assert min(counts) > 0


def test_esc_without_a_fold_splits_by_recording(esc):
    data = load(esc, layout="esc")
    source = np.array([name.split("-")[1] for name in data.ids])
    parts = [set(source[data.roles == role]) for role in (FIT, SELECT, TEST)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set(source))


def test_esc_subset_and_limit_choose_files_before_decoding(tmp_path):
    write_esc(tmp_path, per_class=5, seconds=0.02)
    data = load(tmp_path, layout="esc", subset="esc10", fold=2, limit=1)
    assert len(data.class_names) == 10
    assert len(data.ids) == 30
    full = load(tmp_path, layout="esc", fold=2)
    assert len(full.class_names) == 50
    assert full.class_names == tuple(name.replace("_", " ") for name in ESC50)


def test_esc_bad_requests_are_configuration_errors(esc):
    with pytest.raises(ConfigError, match="no fold 9") as caught:
        load(esc, layout="esc", fold=9)
    assert "1, 2, 3, 4, 5" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="no subset 'esc20'"):
        load(esc, layout="esc", subset="esc20")
    with pytest.raises(ConfigError, match="needs a path"):
        load(None, layout="esc")


def test_esc_missing_pieces_are_named(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        load(tmp_path / "nowhere", layout="esc")
    with pytest.raises(InputError, match="is an empty folder"):
        load(tmp_path, layout="esc")
    write_esc(tmp_path, 5, subset10=True, seconds=0.02)
    first = sorted((tmp_path / "audio").iterdir())[0]
    first.unlink()
    with pytest.raises(InputError, match=f"audio/{first.name}, listed in .*, is not there"):
        load(tmp_path, layout="esc", fold=1)
    notes = Notes()
    data = load(tmp_path, notes, on_error="skip", layout="esc", fold=1)
    assert list(data.skipped) == [f"audio/{first.name}"]
    assert "1 of 50 files" in notes.lines[0]
    (tmp_path / "meta" / "esc50.csv").unlink()
    with pytest.raises(InputError, match=r"has no meta/esc50.csv"):
        load(tmp_path, layout="esc")


def drop_category(rows):
    return [{k: v for k, v in row.items() if k != "category"} for row in rows]


def set_first(**cells):
    return lambda rows: [rows[0] | cells, *rows[1:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_category, "no column 'category': it has filename, fold, target, esc10"),
        (set_first(fold="x"), "esc50.csv, line 2: 'x' is no fold"),
        (set_first(target="99"), None),
        (set_first(target="10"), "gives target 10 to"),
        (set_first(target="-1"), "has the target '-1'"),
        (set_first(filename="../../etc/passwd"), "outside audio/"),
        (lambda rows: [*rows, rows[0]], "names a file twice"),
    ],
)
def test_esc_bad_tables(tmp_path, change, message):
    write_esc(tmp_path, 5, subset10=True, seconds=0.02)
    rewrite_csv(tmp_path, change)
    if message is None:  # a class of one clip is odd, but a class
        assert len(load(tmp_path, layout="esc", fold=2).class_names) == 11
        return
    with pytest.raises(InputError, match=message):
        load(tmp_path, layout="esc", fold=1)


# a folder a class


def test_audio_folders(folder):
    (folder / "rain" / "readme.md").write_text("no sound")
    (folder / ".hidden").mkdir()
    notes = Notes()
    data = load(folder, notes, layout="audio-folder")
    assert data.class_names == ("dog bark", "rain")
    assert data.ids[0] == "dog_bark/0.wav"
    assert np.bincount(data.labels).tolist() == [6, 6]
    assert np.bincount(data.roles).tolist() == [8, 2, 2]
    assert notes.lines == ["1 files with another ending than sounds passed over"]


def test_unreadable_files_are_refused_or_listed(folder):
    (folder / "rain" / "0.wav").write_text("text, not sound")
    with pytest.raises(InputError, match=r"rain/0.wav cannot be decoded") as caught:
        load(folder, layout="audio-folder")
    assert "--on-error skip" in (caught.value.hint or "")
    notes = Notes()
    data = load(folder, notes, on_error="skip", layout="audio-folder")
    assert list(data.skipped) == ["rain/0.wav"]
    assert len(data.ids) == len(data.clips) == len(data.labels) == len(data.roles) == 11
    assert "1 of 12 files" in notes.lines[0]


def test_more_than_half_unreadable_is_an_error_even_when_skipping(folder):
    for path in [*(folder / "rain").iterdir(), folder / "dog_bark" / "0.wav"]:
        path.write_text("text")
    with pytest.raises(InputError, match=r"7 of 12 files of .* are unreadable, more than half"):
        load(folder, on_error="skip", layout="audio-folder")


def test_folders_that_hold_too_little(tmp_path):
    (tmp_path / "stray.wav").write_text("x")
    with pytest.raises(InputError, match="has no class folders"):
        load(tmp_path, layout="audio-folder")
    (tmp_path / "rain").mkdir()
    with pytest.raises(InputError, match="the class folder rain has no sounds"):
        load(tmp_path, layout="audio-folder")
    for number in range(9):
        soundfile.write(tmp_path / "rain" / f"{number}.wav", sine(), RATE)
    with pytest.raises(InputError, match=r"has one class only \(rain\)"):
        load(tmp_path, layout="audio-folder")
    with pytest.raises(InputError, match="is a file, not a folder"):
        load(tmp_path / "stray.wav", layout="audio-folder")


def test_a_name_that_is_not_utf8(folder):
    path = os.fsencode(folder / "rain") + b"/bad\xff.wav"
    with open(path, "wb") as stream:
        stream.write((folder / "rain" / "0.wav").read_bytes())
    with pytest.raises(InputError, match=r"rain/bad\\xff.wav is not UTF-8"):
        load(folder, layout="audio-folder")
    data = load(folder, on_error="skip", layout="audio-folder")
    assert list(data.skipped) == [r"rain/bad\xff.wav"]


def test_a_loop_of_links_ends(folder):
    (folder / "rain" / "again").symlink_to(folder / "rain")
    os.mkfifo(folder / "rain" / "pipe.wav")
    assert len(load(folder, layout="audio-folder").ids) == 12
