"""Every damage of a text, a JSON file or a line becomes one message that names file and place."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.files.reading import (
    UnreadableFile,
    explain_reading,
    parse_lines,
    read_json,
    read_lines,
    read_object,
    read_text,
)
from harness.files.strict_json import MOST_LEVELS, parse_json
from tests.helpers.image_files import without_rights

GOOD = '{"id": "a", "text": "é 猫", "numbers": [1, 2.5, -3e5, true, null]}'
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)

DAMAGES: dict[str, tuple[bytes, str]] = {
    "UTF-16": (GOOD.encode("utf-16"), "UTF-16"),
    "Latin-1": ('{"text": "é"}'.encode("latin-1"), "not in UTF-8: byte 0xe9"),
    "cut": (GOOD.encode()[:-5], "is not valid JSON"),
    "two values": (b"{} {}", "extra data"),
    "bytes": (b"\x00\x01\x02", "is not valid JSON"),
    "deep": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", f"more than {MOST_LEVELS} levels"),
    "a little deep": (b'{"a": ' + b"[" * MOST_LEVELS + b"]" * MOST_LEVELS + b"}", f"more than {MOST_LEVELS} levels"),
    "surrogate": (b'{"text": "a\\ud83d"}', "lone surrogate \\ud83d"),
    "surrogate as a key": (b'{"\\ude00": 1}', "lone surrogate \\ude00"),
    "surrogate in UTF-8": (b'{"text": "\xed\xa0\xbd"}', "not in UTF-8"),
    "NUL": (b'{"text": "a\\u0000"}', "NUL"),
    "double key": (b'{"text": "a", "text": "b"}', "the key 'text' occurs twice"),
    "inner double key": (b'{"a": [{"b": 1, "b": 1}]}', "the key 'b' occurs twice"),
    "NaN": (b'{"a": NaN}', "NaN is not JSON"),
    "infinity": (b'{"a": -Infinity}', "Infinity is not JSON"),
    "large float": (b'{"a": 1e999}', "1e999 is beyond"),
    "large integer": (b'{"a": 18446744073709551616}', "does not fit 64 bits"),
    "endless integer": (b'{"a": ' + b"9" * 5000 + b"}", "does not fit 64 bits"),
    "array": (b"[1, 2]", "an array, not a JSON object"),
    "string": (b'"text"', "a string, not a JSON object"),
    "null": (b"null", "null, not a JSON object"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_object_is_one_message_that_names_the_file(damage: str, tmp_path: Path) -> None:
    data, what = DAMAGES[damage]
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with pytest.raises(UnreadableFile) as caught:
        read_object(path)
    assert what in caught.value.what
    assert str(path) in caught.value.what
    assert "\n" not in caught.value.what
    assert len(caught.value.what) < 400 + len(str(path))
    assert caught.value.hint


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_is_one_message_that_names_file_and_line(damage: str, tmp_path: Path) -> None:
    data, what = DAMAGES[damage]
    path = tmp_path / "file.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n\n  \n" + data + b"\n")
    lines = read_lines(path)
    assert next(lines) == (1, json.loads(GOOD))
    with pytest.raises(UnreadableFile) as caught:
        list(lines)
    assert f"{path}, line 4" in caught.value.what
    if damage not in ("UTF-16",):  # its bytes are cut at line feeds
        assert what in caught.value.what


READERS = [read_text, read_json, read_object, lambda path: list(read_lines(path))]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("place", ["none", "folder", "a name that is too long" * 20, "file/inside"])
def test_what_the_system_refuses_is_one_message(read: Callable[[Path], object], place: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UnreadableFile, match=r"cannot be read: [A-Z]"):
        read(tmp_path / place)


OTHERS = {
    "a web page (HTML)": b"<!doctype html><html></html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "an XML file": b"<?xml version='1.0'?><a/>",
    "a PNG image": b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
    "a gzip archive": b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
    "a Parquet file": b"PAR1\x15\x04\x15\xff",
}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a"])
@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_another_kind_is_called_what_it_is(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(OTHERS[kind])
    for read in READERS[1:]:
        with pytest.raises(UnreadableFile, match=rf"{name} is not .*: it is {re.escape(kind)}") as caught:
            read(path)
        assert caught.value.hint
    if not OTHERS[kind].isascii():
        with pytest.raises(UnreadableFile, match=rf"is not a text: it is {re.escape(kind)}"):
            read_text(path)
    with (
        pytest.raises(UnreadableFile, match=rf"is not a Lance file: it is {re.escape(kind)}"),
        explain_reading(path, "a Lance file"),
    ):
        raise ValueError("no magic bytes")


def test_the_library_speaks_of_a_file_of_the_right_kind_and_of_one_of_no_kind(tmp_path: Path) -> None:
    for content in (OTHERS["a Parquet file"], b"words"):
        (tmp_path / "a").write_bytes(content)
        with (
            pytest.raises(UnreadableFile, match="is not a Parquet file: no footer"),
            explain_reading(tmp_path / "a", "a Parquet file"),
        ):
            raise ValueError("no footer")


def test_an_empty_file_and_a_broken_link_are_called_so(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("gone.json")
    with pytest.raises(UnreadableFile, match=r"is not valid JSON: it is an empty file \(0 bytes\)"):
        read_json(tmp_path / "empty")
    with pytest.raises(UnreadableFile, match=r"cannot be read: .*; it is a broken link to gone\.json"):
        read_json(tmp_path / "link")


@pytest.mark.parametrize("read", READERS)
def test_a_file_without_permission_is_one_message(read: Callable[[Path], object], public_folder: Path) -> None:
    (public_folder / "file").write_text("{}")
    with without_rights(public_folder, files=0), pytest.raises(UnreadableFile, match="Permission denied") as caught:
        read(public_folder / "file")
    assert caught.value.hint == "Check its permissions."


@given(values)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False)) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_one_message(data: bytes) -> None:
    for line in (data, b'{"a": "' + data + b'"}'):
        with contextlib.suppress(UnreadableFile):
            assert all(isinstance(value, dict) for _, value in parse_lines([line], "a.jsonl"))


def test_a_pair_of_surrogates_is_one_character_and_an_escaped_backslash_is_text() -> None:
    assert parse_json(r'"\ud83d\ude00"') == "😀"
    assert parse_json(r'"\\u0000 \\ud800"') == r"\u0000 \ud800"


def test_numbers_that_libraries_write_are_read_only_where_a_caller_asks_for_them() -> None:
    text = f'{{"a": [NaN, Infinity, {10**30}]}}'
    assert str(parse_json(text, lenient=True)) == f"{{'a': [nan, inf, {10**30}]}}"
    with pytest.raises(ValueError, match="NaN is not JSON"):
        parse_json(text)


def test_whatever_a_library_raises_names_the_file_and_a_users_error_stays() -> None:
    path = Path("a.parquet")
    for error in (
        ValueError("bad\n bytes."),
        KeyError("schema"),
        RecursionError(),
        OverflowError("big"),
        OSError("magic"),
    ):
        message = r"^a\.parquet is not a Parquet file: [^\n]+\.\nFetch"
        with pytest.raises(UnreadableFile, match=message), explain_reading(path, "a Parquet file", "Fetch it again."):
            raise error
    with pytest.raises(UnreadableFile, match="more memory"), explain_reading(Path("a")):
        raise MemoryError
    with pytest.raises(UserError, match=r"^mine$"), explain_reading(Path("a")):
        raise UserError("mine")
