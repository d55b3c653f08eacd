"""How text is folded: no line is too wide, no character is lost, and no number is cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.layout import COMFORT, Column, folded, left_out, length, widths_within

NUMBER = re.compile(r"(?<![\w.,+-])[-+]?\d[\d,]*(\.\d+)?(e-\d+)?%?(?![\w.,-])")
WORDS = st.lists(
    st.one_of(
        st.text("abcAB12/_-@.:模β猫[]", min_size=1, max_size=40),
        st.floats(-1e6, 1e6).map(lambda value: f"{value:.3g}"),
        st.integers(0, 10**9).map("{:,}".format),
        st.dates().map(str),
    ),
    min_size=1,
    max_size=8,
)


@given(WORDS.map(" ".join), st.integers(2, 100))
def test_no_line_is_too_wide_and_no_character_is_lost(text: str, most: int) -> None:
    lines = folded(text, most)
    assert max(map(length, lines)) <= most
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(WORDS.map(" ".join), st.integers(12, 60))
def test_no_number_that_fits_is_cut(text: str, most: int) -> None:
    together = "\n".join(folded(text, most))
    for number in NUMBER.finditer(text):
        assert number[0] in together


@given(WORDS.map(" ".join), st.integers(41, 60))
def test_lines_end_at_spaces_if_every_word_fits(text: str, most: int) -> None:
    words = [word for line in folded(text, 2 * most) for word in line.split()]
    assert words == text.split()


@pytest.mark.parametrize(
    ("text", "most", "lines"),
    [
        ("runs/llave-2b/checkpoint-300", 16, ["runs/llave-2b/", "checkpoint-300"]),
        ("Qwen3-VL (self-reported)", 14, ["Qwen3-VL", "(self-", "reported)"]),
        ("Qwen3-VL (self-reported)", 17, ["Qwen3-VL", "(self-reported)"]),
        ("mean_of_meta_tasks", 8, ["mean_of_", "meta_", "tasks"]),
        ("name@0123abcd", 9, ["name@", "0123abcd"]),
        ("lr 1e-05", 6, ["lr", "1e-05"]),
        ("x" * 10, 4, ["xxxx", "xxxx", "xx"]),
        ("模型", 2, ["模", "型"]),
        ("two\nlines", 9, ["two", "lines"]),
        ("", 9, [""]),
    ],
)
def test_examples(text: str, most: int, lines: list[str]) -> None:
    assert folded(text, most) == lines


COLUMNS = st.lists(
    st.builds(
        Column,
        st.text("ab -_/", max_size=20),
        st.lists(st.text("ab1 -_/", max_size=50), max_size=4).map(tuple),
        st.booleans(),
        st.sampled_from([None, 10, 60]),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@given(COLUMNS, st.integers(1, 200), st.booleans())
def test_columns_share_the_room_and_none_has_less_than_it_needs(columns: list[Column], room: int, tight: bool) -> None:
    widths = widths_within(columns, room, tight=tight)
    needed = [column.least if tight else column.comfortable for column in columns]
    assert (widths is None) == (sum(needed) > room)
    if widths is not None:
        assert sum(widths) <= room
        assert all(least <= width for least, width in zip(needed, widths, strict=True))
        assert all(width <= max(column.natural, column.least) for width, column in zip(widths, columns, strict=True))
        if sum(widths) < room:
            assert all(width == column.natural for width, column in zip(widths, columns, strict=True) if column.words)


@given(COLUMNS)
def test_numbers_are_never_narrower_than_they_are(columns: list[Column]) -> None:
    for column in columns:
        if not column.words:
            assert column.least >= max(map(length, column.lines), default=0)
        assert column.least <= column.comfortable <= max(column.natural, column.least)
        assert length(COMFORT) == 24


def test_the_order_in_which_columns_are_left_out() -> None:
    names = ("rank", "model", "overall", "IND", "size", "date")
    assert left_out(names, ("rank", "model"), ("date", "seconds", "size")) == ["date", "size", "IND", "overall"]
