"""A user's own queries and candidates in a JSON Lines file.

A line is a target, `{"target": id, ...}`, or a query, `{"query": id, ..., "positives": [ids], "candidates": [ids]}`.
Both take `text`, `image`, `video` and `instruction`. A query without `candidates` ranks all targets of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jsonlines
import numpy as np

from harness.errors import UserError
from harness.types import MEDIA_TOKEN, DataInfo, IndexArray, Item, Media, MediaKind, Query, Task, TaskData

_ITEM_KEYS = ("text", "image", "video", "instruction")
_KEYS = {"target": ("target", *_ITEM_KEYS), "query": ("query", *_ITEM_KEYS, "positives", "candidates")}
_MEDIA: tuple[MediaKind, ...] = ("image", "video")

_CANDIDATES_KEY = re.compile(rb'"candidates"\s*:')  # within a JSON string the quotation marks would be escaped
NUMBERED_TOKEN = re.compile(r"<\|image_\d+\|>")


class _Draft(NamedTuple):
    """A query whose targets may stand further down."""

    line: int
    item: Item
    positives: tuple[str, ...]
    candidates: tuple[str, ...]


@dataclass(slots=True)
class _Content:
    """What the lines so far hold. Its methods raise ValueError for a bad line."""

    root: Path
    items: dict[Item, int] = field(default_factory=dict)
    """Distinct targets and their indexes; two ids of one content share one."""
    targets: dict[str, int] = field(default_factory=dict)
    queries: dict[str, _Draft] = field(default_factory=dict)

    def add(self, number: int, line: Mapping[str, object]) -> None:
        kind = next((kind for kind in _KEYS if kind in line), None)
        if kind is None:
            raise ValueError('it is neither a target (key "target") nor a query (key "query")')
        unknown = [key for key in line if key not in _KEYS[kind]]
        if unknown:
            raise ValueError(f"a {kind} has no key {', '.join(unknown)}; its keys are {', '.join(_KEYS[kind])}")
        name = string_of(line, kind)
        if not name:
            raise ValueError(f"{kind} must be an id that is not empty")
        if name in (self.targets if kind == "target" else self.queries):
            raise ValueError(f"there is another {kind} {name!r} before this one")
        item = _item(line, self.root)
        if kind == "target":
            self.targets[name] = self.items.setdefault(item, len(self.items))
        else:
            self.queries[name] = _Draft(number, item, _ids(line, "positives"), _ids(line, "candidates"))

    def query(self, name: str) -> Query:
        draft = self.queries[name]
        if not draft.positives:
            raise ValueError(f"query {name!r} has no positives")
        candidates, positives = self._indexes(draft.candidates), self._indexes(draft.positives)
        stray = [each for each in draft.positives if candidates.size and self.targets[each] not in candidates]
        if stray:
            raise ValueError(f"{stray[0]!r} is among the positives of query {name!r}, but not among its candidates")
        return Query(name, draft.item, candidates, np.asarray(list(dict.fromkeys(positives.tolist())), dtype=np.int32))

    def _indexes(self, names: Sequence[str]) -> IndexArray:
        try:
            return np.asarray([self.targets[name] for name in names], dtype=np.int32)
        except KeyError as error:
            raise ValueError(f"there is no target {error.args[0]!r}") from None


@dataclass(frozen=True, slots=True)
class JsonlSource:
    """One file, one task."""

    path: Path
    images: Path | None = None
    """What image and video paths are relative to; None: the folder of the file."""

    def describe(self) -> str:
        return f"the file {self.path}"

    def info(self, task: Task) -> DataInfo:  # noqa: ARG002 -- the file is the task
        if not self.path.is_file():
            raise UserError(f"{self.path} is not a file.", "Check --data.")
        if self.images is not None and not self.images.is_dir():
            raise UserError(f"{self.images} is not a folder.", "Name the folder of images with --images.")
        return DataInfo("JSON Lines file", "local", (self.path,), self.images or self.path.parent)

    def load(self, task: Task) -> TaskData:
        """Targets of equal content are one target; notes count `duplicate_candidates` as for the other layouts."""
        self.info(task)
        content = _Content(self.images or self.path.parent)
        for number, line in read_lines(self.path):
            try:
                content.add(number, line)
            except ValueError as error:
                raise bad_line(self.path, number, error) from None
        for kind, found in {"target": content.targets, "query": content.queries}.items():
            if not found:
                raise UserError(f"{self.path} has no {kind}.", f'Add lines such as {{"{kind}": "id", "text": "..."}}.')
        queries = []
        for name, draft in content.queries.items():
            try:
                queries.append(content.query(name))
            except ValueError as error:
                raise bad_line(self.path, draft.line, error) from None
        repeats = sum(query.candidates.size - np.unique(query.candidates).size for query in queries)
        notes = {"duplicate_candidates": repeats} if repeats else {}
        return TaskData(tuple(queries), tuple(content.items), MappingProxyType(notes))


def jsonl_task(path: Path, images: Path | None = None) -> Task:
    """A file as a task, named after it. Its scope is global if no query lists candidates of its own."""
    task = Task(path.stem, None, None, None, None, JsonlSource(path, images), scope="local")
    task.source.info(task)
    with path.open("rb") as file:
        scope_is_local = any(_CANDIDATES_KEY.search(line) for line in file)
    return task if scope_is_local else replace(task, scope="global")


def read_lines(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    """The objects of a file with their line numbers, from 1. Blank lines are passed over."""
    number = 0

    def texts() -> Iterator[str]:
        nonlocal number
        with path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(file, start=1):  # noqa: B007 -- read below, one line at a time
                if text.strip():
                    yield text

    reader = jsonlines.Reader(texts())
    try:
        for line in reader.iter(type=dict):
            yield number, line
    except jsonlines.InvalidLineError as error:
        raise bad_line(path, number, str(error).partition(" (line")[0]) from None
    except UnicodeDecodeError:
        raise bad_line(path, number + 1, "it is not UTF-8") from None


def _item(line: Mapping[str, object], root: Path) -> Item:
    media = tuple(Media(kind, name, root) for kind in _MEDIA if (name := string_of(line, kind)))
    return make_item(string_of(line, "text"), media, string_of(line, "instruction"))


def make_item(text: str, media: tuple[Media, ...], instruction: str) -> Item:
    """An item as a line describes it, instruction and text parted by white space. Raises ValueError for none."""
    if instruction and text and not instruction[-1].isspace():
        instruction += " "
    item = Item(text, media, instruction)
    tokens = item.full_text.count(MEDIA_TOKEN)
    if not item.full_text.strip() and not media:
        raise ValueError("it has no text, no image and no video")
    if NUMBERED_TOKEN.search(item.full_text):
        raise ValueError(f"in this layout an image token is written {MEDIA_TOKEN}")
    if tokens not in (0, len(media)):
        raise ValueError(
            f"{MEDIA_TOKEN} stands {tokens} times in the text, but there are {len(media)} images and videos"
        )
    return item


def string_of(line: Mapping[str, object], key: str) -> str:
    """A field that may be absent. Raises ValueError for anything but a string."""
    value = line.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} must be a string, not {value!r}")
    return value or ""


def _ids(line: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = line.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key} must be a list of ids, which are strings")
    if key in line and not value:
        raise ValueError(f"{key} is an empty list")
    return tuple(value)


def bad_line(path: Path, number: int, why: object) -> UserError:
    """An error that says where in a file."""
    return UserError(f"{path}, line {number}: {why}.", "Correct the file.")
