"""Which Parquet files are read, and the errors for all others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from harness.errors import UserError
from harness.files.parquet import count_rows
from tasks.mmeb.parquet import INSTRUCT, MMEB_EVAL, layout_of, read
from tests.helpers.mmeb_files import columns, table, write_subset

GOOD = columns([("q", "", [("a", ""), ("b", "")])] * 5)
SPLIT = {"qry_inst": ["i"], "qry_text": ["q"], "tgt_text": [["a"]]}


def said(files: list[Path]) -> str:
    with pytest.raises(UserError) as caught:
        read(files)
    return str(caught.value)


def test_a_layout_is_known_by_its_columns_in_any_order(tmp_path: Path) -> None:
    backwards = dict(reversed(GOOD.items()))
    assert layout_of(write_subset(tmp_path, "a", backwards)) == MMEB_EVAL
    assert layout_of(write_subset(tmp_path, "b", SPLIT)) == INSTRUCT
    assert layout_of(write_subset(tmp_path, "c", SPLIT | {"qry_img_path": [""], "tgt_img_path": [[""]]})) == INSTRUCT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("tgt_img_path"), ["lacks tgt_img_path", "looks like the MMEB-eval layout"]),
        (lambda c: c.update(score=["1"] * 5, id=["2"] * 5), ["has score and id", "looks like the MMEB-eval layout"]),
        (lambda c: c.update(qry_inst=["i"] * 5, n=["1"] * 5), ["has n", "looks like the MMEB_Test_Instruct layout"]),
        (lambda c: c.update(pos_text=["1"] * 5), ["has pos_text", "MMEB-train"]),
        (lambda c: c.clear() or c.update(text=["a"]), ["lacks qry_text and qry_img_path", "has text"]),
    ],
)
def test_missing_and_extra_columns_are_named(
    tmp_path: Path, change: Callable[[dict[str, list[object]]], object], words: list[str]
) -> None:
    values = dict(GOOD)
    change(values)
    file = write_subset(tmp_path, "Own", values)
    text = said([file])
    for word in [str(file), *words]:
        assert word in text


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("tgt_text", ["a"] * 5, "lists of strings, but holds string"),
        ("tgt_text", [[1]] * 5, "lists of strings, but holds list<element: int64>"),
        ("tgt_text", [[None]] * 5, "lists of strings, but holds list<element: null>"),
        ("tgt_text", [[["a"]]] * 5, "lists of strings, but holds list<element: list<element: string>>"),
        ("tgt_img_path", [[1]] * 5, "lists of images, as paths or {bytes, path}, but holds list<element: int64>"),
        ("qry_img_path", [{"bytes": b"", "format": "png"}] * 5, "images, as paths or {bytes, path}, but holds struct"),
        ("qry_text", [{"path": "a"}] * 5, "strings, but holds struct"),
        ("qry_text", [["q"]] * 5, "strings, but holds list<element: string>"),
        ("qry_text", [1] * 5, "strings, but holds int64"),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path: Path, column: str, values: list[object], words: str) -> None:
    good = table(GOOD)
    bad = good.set_column(good.column_names.index(column), column, pa.array(values))
    file = write_subset(tmp_path, "Own", bad)
    text = said([file])
    assert f"{file}: column {column} must hold" in text
    assert words in text


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("qry_text", None, "qry_text: a text is null"),
        ("qry_text", "a\0", "qry_text: a string holds the character NUL"),
        ("qry_img_path", "a\0.png", "qry_img_path: a string holds the character NUL"),
        ("tgt_text", None, "the lists of tgt_text and tgt_img_path differ in length"),
        ("tgt_text", ["a", None], "tgt_text: a text is null"),
        ("tgt_text", ["a\0", "b"], "tgt_text: a string holds the character NUL"),
        ("tgt_text", ["a"], "the lists of tgt_text and tgt_img_path differ in length"),
        ("tgt_img_path", [""], "the lists of tgt_text and tgt_img_path differ in length"),
    ],
)
@pytest.mark.parametrize("row", [0, 2, 4])
def test_a_bad_row_is_named_by_its_number_in_its_file(
    tmp_path: Path, row: int, column: str, value: object, words: str
) -> None:
    good = write_subset(tmp_path, "Own", GOOD, "test-0.parquet")
    values = [value if number == row else each for number, each in enumerate(GOOD[column])]
    bad = write_subset(tmp_path, "Own", {**GOOD, column: values}, "test-1.parquet")
    assert f"{bad}, row {row} (the first is row 0): {words}" in said([good, bad])


def test_an_empty_list_is_named(tmp_path: Path) -> None:
    values = {**GOOD, "tgt_text": [*GOOD["tgt_text"][:4], []], "tgt_img_path": [*GOOD["tgt_img_path"][:4], []]}
    assert "row 4 (the first is row 0): the candidate list is empty" in said([write_subset(tmp_path, "Own", values)])


def test_a_file_without_rows_is_an_error(tmp_path: Path) -> None:
    assert "has no rows" in said([write_subset(tmp_path, "Own", columns([]))])


def test_files_of_two_layouts_do_not_mix(tmp_path: Path) -> None:
    one, other = write_subset(tmp_path, "a", GOOD), write_subset(tmp_path, "b", SPLIT)
    assert f"{other} has the MMEB_Test_Instruct layout, but {one} has MMEB-eval" in said([one, other])


@pytest.mark.parametrize("keep", [0, 3, 100, -20])
def test_a_damaged_file_is_named(tmp_path: Path, keep: int) -> None:
    file = write_subset(tmp_path, "Own", GOOD)
    file.write_bytes(file.read_bytes()[:keep])
    assert f"{file} is not a whole Parquet file: " in said([file])


def test_text_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    broken = pa.array([b"\xff\xfe"] * 5).view(pa.string())
    file = write_subset(tmp_path, "Own", table(GOOD).set_column(0, "qry_text", broken))
    assert f"{file} is not a whole Parquet file: " in said([file])


def test_in_the_split_layout_a_null_in_a_column_that_may_be_absent_is_an_empty_string(tmp_path: Path) -> None:
    rows = read([write_subset(tmp_path, "Own", SPLIT | {"tgt_inst": [None], "qry_img_path": [None]})])
    assert rows.strings("tgt_inst") == rows.strings("qry_img_path") == [""]


def test_rows_are_counted_without_reading_them(tmp_path: Path) -> None:
    files = [write_subset(tmp_path, "Own", GOOD, f"test-{n}.parquet") for n in range(3)]
    assert count_rows(files) == 15
