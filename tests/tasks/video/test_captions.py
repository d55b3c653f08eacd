"""Captions in their published formats, and a pickle reader that only reads."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.files.plain_pickle import read_plain_pickle
from tasks.video.captions import read_captions, read_ids

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(texts, inner)
        | st.tuples(inner, inner)
        | st.tuples()
        | st.sets(st.integers())
        | st.frozensets(texts)
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


@given(st.dictionaries(texts, st.lists(st.lists(texts))), st.integers(0, 5))
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
        ("x.json", '{"v1": 3}', r"x\.json, v1: a caption cannot be a value of the type int"),
        ("x.json", '{"v1": [3]}', "3 is not a text"),
        ("x.json", "[3]", r"row 0 .*not an object"),
        ("x.json", "3", "holds a value of the type int"),
        ("x.json", '{"v1": ', r"x\.json is not valid JSON: expecting value at column 8"),
        ("x.jsonl", '{"video_id": "v1", "caption": "a"}\n{"video_id": "v2"}\n', r"x\.jsonl, line 2: none of"),
        ("x.parquet", "PAR1", r"x\.parquet is not a whole Parquet file"),
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
    for text, match in (("v1\nv2\nv1\n", r"test_list\.txt, line 3: line 1 has the video 'v1' too"), ("\n", "no video")):
        path.write_text(text)
        with pytest.raises(UserError, match=match):
            read_ids(path)


@pytest.mark.parametrize("name", ["a.json", "b.json", "c.json", "a.jsonl", "a.ndjson", "a.JSONL", "a.pkl", "a.parquet"])
def test_a_video_id_may_be_a_whole_number(tmp_path: Path, name: str) -> None:
    rows = [{"video_id": 12, "sentence": "a dog"}, {"video_id": 3, "sentence": "a cat"}]
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    elif name.endswith(".pkl"):
        (tmp_path / name).write_bytes(pickle.dumps({12: ["a dog"], 3: ["a cat"]}))
    elif name.endswith("json") and name[2:] == "json":
        (tmp_path / name).write_text(json.dumps({"sentences": rows} if name[0] == "c" else rows))
    else:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [(each.video, each.text) for each in read_captions(tmp_path / name)] == [("12", "a dog"), ("3", "a cat")]


@pytest.mark.parametrize("value", [True, 1.5, None, [1], {"a": 1}])
def test_another_video_id_is_refused_with_its_row(tmp_path: Path, value: object) -> None:
    path = tmp_path / "captions.json"
    path.write_text(json.dumps([{"video_id": 1, "sentence": "a"}, {"video_id": value, "sentence": "a"}]))
    with pytest.raises(UserError, match=r"captions\.json, row 1 \(the first is row 0\): .* is not a text"):
        read_captions(path)


def test_a_fault_that_two_tasks_share_is_said_once(tmp_path: Path, llave, place) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/captions.json").write_text('[{"video_id": true, "sentence": "a"}]')
    done = llave("run", "classical", "--data", tmp_path / "own", *place.flags)
    assert (done.code, done.err.count("True is not a text")) == (2, 1)


LONE = "a\ud83d"


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        (
            "c.json",
            json.dumps([{"video_id": "v", "sentence": "a"}, {"video_id": "v", "sentence": LONE}]),
            r"\[1\]\['sentence'\]",
        ),
        ("c.json", json.dumps({"v": ["a", [LONE]]}), r"\['v'\]\[1\]\[0\]"),
        ("c.json", json.dumps({LONE: ["a"]}), "surrogate"),
        (
            "c.jsonl",
            json.dumps({"video_id": "v", "sentence": "a"}) + "\n" + json.dumps({"id": LONE, "text": "a"}),
            "line 2",
        ),
        ("c.pkl", pickle.dumps({"v": [LONE]}), "surrogate"),
        ("c.pkl", pickle.dumps([{"id": "v", "text": "a"}, {"id": "v", "text": b"a\xed\xa0\xbd"}]), "row 1"),
        ("c.csv", b"video_id,sentence\nv,a\xed\xa0\xbd\n", "line 2"),
    ],
)
def test_half_a_character_is_refused_where_it_stands(
    tmp_path: Path, name: str, content: str | bytes, where: str
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=where) as caught:
        read_captions(tmp_path / name)
    assert str(tmp_path / name) in caught.value.what
