"""Reads captions of videos in their published formats: tables, JSON, Parquet, and MSVD's pickle."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from harness.errors import UserError
from harness.files.plain_pickle import read_plain_pickle
from harness.files.reading import JSON_LINES, UnreadableFile, place_of, read_json, read_lines, read_text
from harness.files.strict_json import check_strings
from harness.files.tables import read_table

_CORRECT = "Correct the data file."
_LARGEST = 2**64


class Caption(NamedTuple):
    """A caption of a video."""

    video: str
    """The id of the video: the name of its file, with or without extension and folder."""
    text: str
    where: str
    """The file and the place in it, for messages."""


_Reader: TypeAlias = Callable[[Path], Iterator[Caption]]

_IDS = ("video_id", "videoID", "video_path", "video", "id")
_TEXTS = ("sentence", "caption", "captions", "enCap", "text")
"""Names of the columns of ids and of texts. The first that is there counts."""


def read_captions(path: Path) -> list[Caption]:
    """All captions of a file, in its order. Raises: UserError that names file and row."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: captions cannot be read from {path.suffix} files.", f"Use {', '.join(_READERS)}.")
    captions = list(reader(path))
    if not captions:
        raise UserError(f"{path} has no caption.", "Fetch or write the file again.")
    for caption in captions:
        if not caption.video or not caption.text.strip():
            raise _bad(caption.where, f"the {'caption' if caption.video else 'video id'} is empty")
    return captions


def read_ids(path: Path) -> list[str]:
    """The video ids of a file with one id a line. Raises: UserError if there is none, and for a repeated id."""
    lines: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if video := _text(line, place_of(path, number)).strip():
            if video in lines:
                raise _bad(place_of(path, number), f"line {lines[video]:,} has the video {video!r} too")
            lines[video] = number
    if not lines:
        raise UserError(f"{path} lists no video.", _CORRECT)
    return list(lines)


def _table(path: Path) -> Iterator[Caption]:
    """Reads a table. Without a header, its columns are caption and video, as in DiDeMo's test file."""
    header: list[str] | None = None
    for number, row in read_table(path):
        if header is None:
            header = row if set(row) & set(_IDS) else ["caption", "video"]
            if header is row:
                continue
        where = place_of(path, number)
        if len(row) != len(header):
            raise _bad(where, f"{len(row)} columns, not {len(header)}")
        yield from _of_object(dict(zip(header, row, strict=True)), where)


def _json(path: Path) -> Iterator[Caption]:
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("sentences"), list):
        content = content["sentences"]  # MSRVTT_data.json
    yield from _of_content(content, path)


def _json_lines(path: Path) -> Iterator[Caption]:
    for number, row in read_lines(path):
        yield from _of_object(row, place_of(path, number))


def _pickle(path: Path) -> Iterator[Caption]:
    return _of_content(read_plain_pickle(path), path)


def _parquet(path: Path) -> Iterator[Caption]:
    from harness.files.parquet import read_rows

    return _of_content(read_rows(path), path)


_READERS: Mapping[str, _Reader] = {
    ".csv": _table,
    ".tsv": _table,
    ".json": _json,
    **dict.fromkeys(JSON_LINES, _json_lines),
    ".pkl": _pickle,
    ".parquet": _parquet,
}
FORMATS = tuple(_READERS)
"""Extensions of files of captions."""


def _of_content(content: object, path: Path) -> Iterator[Caption]:
    """Captions in a list of objects, or in a dictionary from video ids to captions."""
    if isinstance(content, list):
        for number, each in enumerate(content):
            yield from _of_object(each, f"{path}, row {number} (the first is row 0)")
    elif isinstance(content, dict):
        for key, captions in content.items():
            video = _id(key, str(path))
            where = f"{path}, {video}"
            yield from (Caption(video, text, where) for text in _captions(captions, where))
    else:
        what = f"{path} holds {_kind(content)}, not a list of rows or captions by video id."
        raise UnreadableFile(what, "Fetch or write the file again.")


def _of_object(row: object, where: str) -> Iterator[Caption]:
    if not isinstance(row, dict):
        raise _bad(where, "this is not an object with columns")
    keys = [next((name for name in names if name in row), None) for names in (_IDS, _TEXTS)]
    video, text = keys
    if video is None or text is None:
        names = _TEXTS if video else _IDS
        have = ", ".join(map(str, row))
        raise UserError(f"{where}: none of the columns {', '.join(names)} is there.", f"Its columns are {have}.")
    found = _id(row[video], where)
    yield from (Caption(found, each, where) for each in _captions(row[text], where))


def _captions(value: object, where: str) -> Sequence[str]:
    """The captions of a cell: one, a list, or a list of lists of words, which are joined with spaces."""
    if isinstance(value, str | bytes):
        return [_text(value, where)]
    if not isinstance(value, list | tuple):
        raise _bad(where, f"a caption cannot be {_kind(value)}")
    return [
        " ".join(_text(word, where) for word in each) if isinstance(each, list | tuple) else _text(each, where)
        for each in value
    ]


def _id(value: object, where: str) -> str:
    """The id of a video. A whole number is taken as its digits, as in a table."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return str(value)
    return _text(value, where).strip()


def _text(value: object, where: str) -> str:
    try:
        text = value.decode("utf-8") if isinstance(value, bytes) else value
        check_strings(text if isinstance(text, str) else None)
    except ValueError as error:
        raise _bad(where, f"{_shown(value)} is not a text in UTF-8: {error}") from None
    if not isinstance(text, str):
        raise _bad(where, f"{_shown(value)} is not a text")
    return text


def _shown(value: object) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return _kind(value)


def _kind(value: object) -> str:
    return f"a value of the type {type(value).__name__}"


def _bad(where: str, why: str) -> UserError:
    return UserError(f"{where}: {why}.", _CORRECT)
