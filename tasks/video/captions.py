"""Reads captions of videos in their published formats: tables, JSON, Parquet, and MSVD's pickle."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from harness.errors import UserError
from tasks.video.plain_pickle import read_plain_pickle


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
    """All captions of a file, in its order. Raises UserError that names file and row."""
    if path.suffix not in _READERS:
        raise UserError(f"{path}: captions cannot be read from {path.suffix} files.", f"Use {', '.join(_READERS)}.")
    try:
        captions = list(_READERS[path.suffix](path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8.", "Save it as UTF-8.") from None
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}.", "Fetch or write the file again.") from None
    if not captions:
        raise UserError(f"{path} has no caption.", "Fetch or write the file again.")
    for caption in captions:
        if not caption.video or not caption.text.strip():
            missing = "caption" if caption.video else "video id"
            raise UserError(f"{caption.where}: the {missing} is empty.", "Correct the data file.")
    return captions


def read_ids(path: Path) -> list[str]:
    """The video ids of a file with one id a line. Raises UserError if there is none, and for a repeated id."""
    try:
        ids = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.", "Fetch the file again.") from None
    twice = next((each for number, each in enumerate(ids) if each in ids[:number]), None)
    if twice or not ids:
        raise UserError(f"{path} lists {f'{twice} twice' if twice else 'no video'}.", "Correct the file.")
    return ids


def _table(path: Path) -> Iterator[Caption]:
    """Reads a table. Without a header, its columns are caption and video, as in DiDeMo's test file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        header: list[str] | None = None
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if not any(cell.strip() for cell in row):
                continue
            if header is None:
                header = row if set(row) & set(_IDS) else ["caption", "video"]
                if header is row:
                    continue
            if len(row) != len(header):
                raise UserError(f"{where}: {len(row)} columns, not {len(header)}.", "Correct the data file.")
            yield from _of_object(dict(zip(header, row, strict=True)), where)


def _json(path: Path) -> Iterator[Caption]:
    content = json.loads(path.read_bytes())
    if isinstance(content, dict) and isinstance(content.get("sentences"), list):
        content = content["sentences"]  # MSRVTT_data.json
    yield from _of_content(content, path)


def _json_lines(path: Path) -> Iterator[Caption]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield from _of_object(json.loads(line), f"{path}, line {number}")


def _pickle(path: Path) -> Iterator[Caption]:
    return _of_content(read_plain_pickle(path), path)


def _parquet(path: Path) -> Iterator[Caption]:
    import pyarrow.parquet as pq

    return _of_content(pq.read_table(path).to_pylist(), path)


_READERS: Mapping[str, _Reader] = {
    ".csv": _table,
    ".tsv": _table,
    ".json": _json,
    ".jsonl": _json_lines,
    ".pkl": _pickle,
    ".parquet": _parquet,
}


def _of_content(content: object, path: Path) -> Iterator[Caption]:
    """Captions in a list of objects, or in a dictionary from video ids to captions."""
    if isinstance(content, list):
        for number, each in enumerate(content):
            yield from _of_object(each, f"{path}, row {number} (the first is row 0)")
    elif isinstance(content, dict):
        for video, captions in content.items():
            where = f"{path}, {video}"
            yield from (Caption(_text(video, where), text, where) for text in _captions(captions, where))
    else:
        raise ValueError(f"it holds a {type(content).__name__}, not a list of rows or captions by video id")


def _of_object(row: object, where: str) -> Iterator[Caption]:
    if not isinstance(row, dict):
        raise UserError(f"{where} is not an object with columns.", "Correct the data file.")
    keys = [next((name for name in names if name in row), None) for names in (_IDS, _TEXTS)]
    video, text = keys
    if video is None or text is None:
        names = _TEXTS if video else _IDS
        have = ", ".join(map(str, row))
        raise UserError(f"{where}: none of the columns {', '.join(names)} is there.", f"Its columns are {have}.")
    found = _text(row[video], where).strip()
    yield from (Caption(found, each, where) for each in _captions(row[text], where))


def _captions(value: object, where: str) -> Sequence[str]:
    """The captions of a cell: one, a list, or a list of lists of words, which are joined with spaces."""
    if isinstance(value, str | bytes):
        return [_text(value, where)]
    if not isinstance(value, list | tuple):
        raise UserError(f"{where}: a caption cannot be {type(value).__name__}.", "Correct the data file.")
    return [
        " ".join(_text(word, where) for word in each) if isinstance(each, list | tuple) else _text(each, where)
        for each in value
    ]


def _text(value: object, where: str) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if not isinstance(value, str):
        raise UserError(f"{where}: {value!r} is not a text.", "Correct the data file.")
    return value
