from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrnet_cli.datasets.base import TEST
from rrnet_cli.errors import ConfigError, InputError
from tests.datasets.helpers import Notes, load
from tests.layouts import write_mat

ROWS = [(user, item, float((user * item) % 5 + 1)) for user in range(1, 7) for item in range(1, 9)]


def write(root: Path, rows=ROWS, separator: str = " ", name: str = "ratings.txt") -> Path:
    lines = [separator.join(str(cell) for cell in row) for row in rows]
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def triples(data) -> dict[tuple[str, str], float]:
    """What was loaded, by raw ids."""
    users, items = data.user_ids, data.item_ids
    cells = zip(data.user.tolist(), data.item.tolist(), data.rating.tolist(), strict=True)
    return {(users[u], items[i]): r for u, i, r in cells}


WANTED = {(str(user), str(item)): rating for user, item, rating in ROWS}


@pytest.mark.parametrize("separator", [" ", "\t", ",", ";", "::", "   "])
@pytest.mark.parametrize("suffix", ["txt", "csv", "dat"])
def test_text_with_any_separator(tmp_path, separator, suffix):
    data = load(write(tmp_path, ROWS, separator, f"ratings.{suffix}"), layout="ratings")
    assert triples(data) == WANTED
    assert data.scale == (1.0, 5.0)
    assert data.links.shape == (2, 0)
    assert (np.diff(data.user * 1000 + data.item) > 0).all()


def test_header_comments_time_quotes_and_column_order(tmp_path):
    lines = ["# a comment", "", "movieId,time,rating,userId"]
    lines += [f'"{item}",77,{rating},{user}' for user, item, rating in ROWS]
    (tmp_path / "ratings.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    assert triples(load(tmp_path, layout="ratings")) == WANTED


def test_parquet_and_a_file_named_alone(tmp_path):
    user, item, rating = zip(*ROWS, strict=True)
    pq.write_table(pa.table({"r": [1] * 48, "item": item, "user": user, "rating": rating}),
                   tmp_path / "mine.parquet")  # fmt: skip
    assert triples(load(tmp_path / "mine.parquet", layout="ratings")) == WANTED
    pq.write_table(pa.table({"a": item, "b": user, "rating": rating}), tmp_path / "mine.parquet")
    with pytest.raises(InputError, match="has the columns a, b, rating; expected"):
        load(tmp_path / "mine.parquet", layout="ratings")
    nulls = pa.table({"user": user, "item": item, "rating": [*rating[:-1], None]})
    pq.write_table(nulls, tmp_path / "mine.parquet")
    with pytest.raises(InputError, match=r"mine.parquet, row 48 has a missing value"):
        load(tmp_path / "mine.parquet", layout="ratings")


def test_ids_are_text_in_numeric_or_else_in_text_order(tmp_path):
    write(tmp_path, [(u * 5, i, r) for u, i, r in ROWS])
    data = load(tmp_path, layout="ratings")
    assert data.user_ids == ("5", "10", "15", "20", "25", "30")
    write(tmp_path, [(f"u{u * 5}", i, r) for u, i, r in ROWS])
    data = load(tmp_path, layout="ratings")
    assert data.user_ids == ("u10", "u15", "u20", "u25", "u30", "u5")


@settings(deadline=None, max_examples=25)
@given(st.permutations(ROWS))
def test_the_order_of_lines_plays_no_part(tmp_path_factory, rows):
    root = tmp_path_factory.mktemp("order")
    one, two = (load(write(root, r), layout="ratings", split_seed=3) for r in (ROWS, rows))
    for field in ("user_ids", "item_ids", "user", "item", "rating", "roles"):
        assert np.array_equal(getattr(one, field), getattr(two, field)), field


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 99 abc", "ratings.txt, line 49 has 'abc' where a number belongs"),
        ("1 99 nan", "line 49 has the value nan, which is no finite number"),
        ("1 99 -inf", "line 49 has the value -inf"),
        ("1 99", "line 49 has 2 columns, the first 3"),
        ("1 99 3 4", "line 49 has 4 columns, the first 3"),
        ("1 99 7", "line 49: the rating 7 is outside the scale 1 to 5"),
        ("1 99 0.5", "line 49: the rating 0.5 is outside the scale 1 to 5"),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    write(tmp_path)
    with (tmp_path / "ratings.txt").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(InputError, match=message):
        load(tmp_path, layout="ratings", rating_min=1, rating_max=5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "ratings.txt has no ratings"),
        ("# nothing\n", "has no ratings"),
        ("1 2\n", "line 1 has 2 columns; expected are user, item and rating"),
        ("user,thing,rating\n1,2,3\n", "names the columns user, thing, rating; expected"),
        ("who what how\n1 2 3\n", "line 1 has 'how' where a number belongs"),
        ("1 1 3\n1 2 3\n2 1 3\n", "all ratings in ratings.txt are 3"),
        ("1 1 3\n1 2 4\n", "2 ratings are too few"),
        ("1,,3\n", "line 1 has an empty id"),
        ("1,2,\n", "line 1 has no rating"),
        (b"\xff\xfe1 2 3\n", "is not UTF-8"),
        ('1,"2,3\n', "not well-formed CSV"),
    ],
)
def test_bad_files(tmp_path, content, message):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "ratings.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path, layout="ratings")


def test_folders_without_the_files(tmp_path):
    with pytest.raises(InputError, match="empty folder"):
        load(tmp_path, layout="ratings")
    (tmp_path / "other").write_text("")
    with pytest.raises(InputError, match="has no ratings file"):
        load(tmp_path, layout="ratings")
    with pytest.raises(InputError, match=r"has no rating.mat"):
        load(tmp_path, layout="ciao")
    write(tmp_path)
    write(tmp_path, name="ratings.csv")
    with pytest.raises(InputError, match=r"holds ratings.txt and ratings.csv"):
        load(tmp_path, layout="ratings")


def test_the_scale(tmp_path):
    write(tmp_path)
    assert load(tmp_path, layout="ratings", rating_max=10).scale == (1.0, 10.0)
    with pytest.raises(InputError, match="line 1: the rating 2 is outside the scale 3 to 5"):
        load(tmp_path, layout="ratings", rating_min=3)


@pytest.mark.parametrize(("rule", "wanted"), [("mean", 3.0), ("last", 2.0)])
def test_duplicates_are_merged_by_the_rule(tmp_path, rule, wanted):
    notes = Notes()
    rows = [(1, 1, 5), *ROWS, (1, 1, 2)]  # with ROWS' own 2: 5, 2, 2
    data = load(write(tmp_path, rows), notes, layout="ratings", duplicates=rule)
    assert triples(data) == WANTED | {("1", "1"): wanted}
    assert notes.lines[0].startswith("2 duplicate ratings of 1 user-item pairs")


def test_duplicates_are_refused_by_line_if_wanted(tmp_path):
    write(tmp_path, [*ROWS, (2, 1, 2)])
    with pytest.raises(InputError, match="line 49 rates item 1 by user 2 again, after line 9"):
        load(tmp_path, layout="ratings", duplicates="error")


def slow_core(rows, users, items):
    while True:
        by_user, by_item = defaultdict(int), defaultdict(int)
        for user, item, _ in rows:
            by_user[user] += 1
            by_item[item] += 1
        kept = [r for r in rows if by_user[r[0]] >= users and by_item[r[1]] >= items]
        if len(kept) == len(rows):
            return kept
        rows = kept


@settings(deadline=None, max_examples=40)
@given(
    st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=12),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_the_core_is_the_obvious_one(tmp_path_factory, pairs, users, items):
    rows = [(u, i, float((u + i) % 5)) for u, i in sorted(pairs)]
    wanted = slow_core(rows, users, items)
    root = write(tmp_path_factory.mktemp("core"), rows)
    options = {"layout": "ratings", "core_users": users, "core_items": items, "rating_max": 9}
    options |= {"test_fraction": 0.3, "val_fraction": 0.3}
    if len(wanted) < 3:
        with pytest.raises(InputError, match=r"no rating is left|too few"):
            load(root, **options)
        return
    assert triples(load(root, **options)) == {(str(u), str(i)): r for u, i, r in wanted}


def test_limit_takes_whole_users_up_to_a_hundred_ratings_each(tmp_path):
    rows = [(u, i, (u + i) % 5) for u in range(30) for i in range(15)]
    data = load(write(tmp_path, rows), layout="ratings", limit=2)
    assert len(data.rating) == 200
    assert sorted(np.bincount(data.user).tolist()) == [5] + [15] * 13
    other = load(tmp_path, layout="ratings", limit=2, split_seed=1)
    assert other.user_ids != data.user_ids
    assert len(load(tmp_path, layout="ratings", limit=99).rating) == 450


def test_links(tmp_path):
    write(tmp_path)
    trust = ["1 2 1", "2 1 1", "3 3 1", "1 2 1", "4 99 1", "88 99 1", "5 6 0", "6 5 -1", "77 77 1"]
    (tmp_path / "trust.txt").write_text("\n".join(trust))
    notes = Notes()
    data = load(tmp_path, notes, layout="ratings")
    assert data.links.tolist() == [[0, 1], [1, 0]]
    assert notes.lines == [
        "2 links without trust (value 0 or below) dropped",
        "2 links of users to themselves dropped",
        "2 links of users without a rating dropped",
        "1 links given twice dropped",
    ]
    (tmp_path / "trust.txt").write_text("truster,trustee\n2,6\n")
    assert load(tmp_path / "ratings.txt", layout="ratings").links.tolist() == [[1], [5]]
    (tmp_path / "trust.txt").write_text("1\n")
    with pytest.raises(InputError, match=r"trust.txt, line 1 has 1 columns"):
        load(tmp_path, layout="ratings")


def test_links_of_users_outside_the_core_are_dropped(tmp_path):
    write(tmp_path, [*ROWS, (9, 1, 2)])
    (tmp_path / "trust.txt").write_text("1 9 1\n2 3 1\n")
    data = load(tmp_path, layout="ratings", core_users=2)
    assert data.links.tolist() == [[1], [2]]


def test_folds(tmp_path):
    write(tmp_path)
    held = [load(tmp_path, layout="ratings", fold=f).roles == TEST for f in range(1, 6)]
    assert (np.sum(held, axis=0) == 1).all()
    with pytest.raises(ConfigError, match="no fold 6"):
        load(tmp_path, layout="ratings", fold=6)


def write_ciao_rows(root: Path, rows, links=((1, 2), (3, 99))) -> Path:
    table = np.array([(u, i, 7, r, 3) for u, i, r in rows])
    write_mat(root / "rating.mat", "rating", table.astype(np.int32))
    write_mat(root / "trustnetwork.mat", "trustnetwork", np.array(links, dtype=np.uint16))
    return root


def test_ciao(tmp_path):
    notes = Notes()
    data = load(write_ciao_rows(tmp_path, [*ROWS, (1, 77, 0)]), notes, layout="ciao")
    assert triples(data) == WANTED
    assert data.links.tolist() == [[0], [1]]
    assert notes.lines == [
        "1 rows rated 0 dropped (no rating)",
        "1 links of users without a rating dropped",
    ]


def test_ciao_damage_is_named(tmp_path):
    write_ciao_rows(tmp_path, [*ROWS, (1, 77, 6)])
    with pytest.raises(InputError, match=r"rating.mat, row 49: the rating 6 is outside"):
        load(tmp_path, layout="ciao", rating_max=5)
    for matrix, message in (
        (np.full((5, 5), np.nan), "row 1 has a value that is no finite number or id"),
        (np.ones((5, 2)), r"'rating' is .* of shape \(5, 2\)"),
    ):
        write_mat(tmp_path / "rating.mat", "rating", matrix)
        with pytest.raises(InputError, match=message):
            load(tmp_path, layout="ciao")
    write_mat(tmp_path / "rating.mat", "other", np.ones((5, 5)))
    with pytest.raises(InputError, match="holds other, but no matrix 'rating'"):
        load(tmp_path, layout="ciao")
    for content in (b"", b"text" * 200, b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(99)):
        (tmp_path / "rating.mat").write_bytes(content)
        with pytest.raises(InputError, match=r"rating.mat is no MATLAB 5 file"):
            load(tmp_path, layout="ciao")


@settings(deadline=None, max_examples=60)
@given(st.integers(128, 400), st.integers(0, 255))
def test_a_changed_byte_in_a_mat_gives_ratings_or_an_input_error(tmp_path_factory, at, value):
    root = write_ciao_rows(tmp_path_factory.mktemp("mat"), ROWS)
    content = bytearray((root / "rating.mat").read_bytes())
    content[at % len(content)] = value
    (root / "rating.mat").write_bytes(content)
    try:
        load(root, layout="ciao")
    except InputError as error:
        assert "rating" in error.message
