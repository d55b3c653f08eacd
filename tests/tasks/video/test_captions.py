"""Captions in their published formats, and a pickle reader that only reads."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from tasks.video.captions import read_captions, read_ids
from tasks.video.plain_pickle import read_plain_pickle

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner, inner)
        | st.tuples()
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
    max_leaves=12,
)
WANTED = [("v1", "a dog runs"), ("v1", "one dog"), ("v2", "a cat")]


@given(plain, st.integers(4, 5))  # before 4, a set is written as a call
def test_plain_data_is_read_as_pickle_reads_it(
    tmp_path_factory: pytest.TempPathFactory, value: object, protocol: int
) -> None:
    path = tmp_path_factory.mktemp("plain") / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_plain_pickle(path) == value


@given(st.dictionaries(st.text(), st.lists(st.lists(st.text(max_size=4)))), st.integers(0, 5))
def test_captions_by_id_are_read_in_every_protocol(
    tmp_path_factory: pytest.TempPathFactory, value: object, protocol: int
) -> None:
    path = tmp_path_factory.mktemp("plain") / "x.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_plain_pickle(path) == value


def test_what_python_2_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pkl"
    path.write_bytes(b"(dp0\nS'v1'\np1\n(lp2\n(lp3\nS'a'\np4\naS'dog'\np5\naas.")
    assert read_plain_pickle(path) == {"v1": [["a", "dog"]]}


class Evil:
    """Runs a program when it is unpickled."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> object:
        return self._call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Evil(os.system, "touch harmed"), rf"{os.system.__module__}\.system"),
        ({"v1": [["a", Evil(eval, "open('harmed', 'w')")]]}, r"(__builtin__|builtins)\.eval"),
        (Evil(subprocess.run, "touch harmed"), r"(subprocess|commands)\.run"),
        (OrderedDict(a=1), r"collections\.OrderedDict"),
        (Fraction(1, 2), r"fractions\.Fraction"),
    ],
)
def test_whatever_else_is_refused_by_name_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object, name: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "raw-captions.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(UserError, match=rf"raw-captions\.pkl asks for {name}"):
        read_captions(path)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"not a pickle", b"]", b"\x80\x04]q\x00(K\x01", b"h\x07.", b"e.", b"\x86."]
)
def test_a_damaged_pickle_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.pkl"):
        read_plain_pickle(path)


def write_all(folder: Path) -> list[Path]:
    """Writes the same captions in every format."""
    rows = [{"video_id": video, "sentence": text} for video, text in WANTED]
    by_id = {"v1": ["a dog runs", "one dog"], "v2": ["a cat"]}
    words = {video: [text.split() for text in texts] for video, texts in by_id.items()}
    texts = {
        "a.csv": "key,video_id,sentence\n" + "".join(f"k,{video},{text}\n" for video, text in WANTED),
        "b.csv": '\ufeffvideo_id,sentence\r\nv1,"a dog runs"\r\n\r\nv1,one dog\r\nv2,a cat\r\n',
        "a.tsv": "".join(f"{text}\t{video}\n" for video, text in WANTED),
        "b.tsv": "videoID\tcaption\n" + "".join(f"{video}\t{text}\n" for video, text in WANTED),
        "a.json": json.dumps(by_id),
        "b.json": json.dumps([{"videoID": video, "enCap": texts} for video, texts in by_id.items()]),
        "c.json": json.dumps({"videos": [], "sentences": rows}),
        "d.json": json.dumps(words),
        "a.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    (folder / "a.pkl").write_bytes(pickle.dumps(words))
    return [folder / name for name in (*texts, "a.pkl")]


def test_every_format_holds_the_same(tmp_path: Path) -> None:
    for path in write_all(tmp_path):
        captions = read_captions(path)
        assert [(caption.video, caption.text) for caption in captions] == WANTED, path.name
        assert all(str(path) in caption.where for caption in captions)


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("x.csv", "video_id,sentence\nv1,a\nv2\n", r"x\.csv, line 3: 1 columns, not 2"),
        ("x.csv", "video_id,sentence\nv1,a\nv2,\n", r"x\.csv, line 3: the caption is empty"),
        ("x.csv", "video_id,sentence\n,a\n", r"x\.csv, line 2: the video id is empty"),
        ("x.csv", "video_id,words\nv1,a\n", r"line 2: none of the columns sentence"),
        ("x.csv", "video_id,sentence\n", "has no caption"),
        ("x.json", '{"v1": 3}', r"x\.json, v1: a caption cannot be int"),
        ("x.json", '{"v1": [3]}', "3 is not a text"),
        ("x.json", "[3]", r"row 0 .*not an object"),
        ("x.json", "3", "holds a int"),
        ("x.json", '{"v1": ', "cannot be read"),
        ("x.jsonl", '{"video_id": "v1", "caption": "a"}\n{"video_id": "v2"}\n', r"x\.jsonl, line 2: none of"),
        ("x.parquet", "PAR1", "cannot be read"),
        ("x.doc", "", r"cannot be read from \.doc"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, name: str, text: str, match: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=match):
        read_captions(tmp_path / name)


def test_ids_are_one_a_line_and_once(tmp_path: Path) -> None:
    path = tmp_path / "test_list.txt"
    path.write_text("v2\n\nv1 \n")
    assert read_ids(path) == ["v2", "v1"]
    for text, match in (("v1\nv2\nv1\n", "v1 twice"), ("\n", "no video")):
        path.write_text(text)
        with pytest.raises(UserError, match=match):
            read_ids(path)
