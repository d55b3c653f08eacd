"""A user's own data in JSON Lines files: queries and candidates of a task, or items to embed.

An item has the fields of `harness.data.items`. In the file of a task, a line is a target, `{"target": id, ...}`, or a
query, `{"query": id, ..., "positives": [ids], "candidates": [ids], "group": name}`. With grades of relevance,
`positives` is an object, `{id: grade}`. A query without `candidates` ranks all targets of the file. Queries of one
`group` belong together, as wordings of one question do.

In a file of items, a line is `{"id": id, ...}`, and may have a `role`. An item without one is a target.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from harness.data.items import ITEM_FIELDS, parse_item, parse_role, string_of, unknown_keys
from harness.embed import OwnItem
from harness.errors import UserError, shortened
from harness.files.folder_kinds import BEIR, kind_of_folder
from harness.files.kinds import not_a
from harness.files.reading import bad_line, explain_reading, place_of, read_lines
from harness.types import DataInfo, IndexArray, Item, Query, Task, TaskData

_KEYS = {"target": ("target", *ITEM_FIELDS), "query": ("query", *ITEM_FIELDS, "positives", "candidates", "group")}
_LINES = 'A line is {"target": ID, "text": TEXT} or {"query": ID, "text": TEXT, "positives": [ID]}.'
_OWN_KEYS = ("id", *ITEM_FIELDS, "role")

_GRADES_KEY = re.compile(rb'"positives"\s*:\s*\{')
_CANDIDATES_KEY = re.compile(rb'"candidates"\s*:')  # inside a JSON string the quotation marks would be escaped


class _Draft(NamedTuple):
    """A query whose targets may come later in the file."""

    line: int
    item: Item
    positives: Mapping[str, int]
    """The grade of each right target."""
    candidates: tuple[str, ...]
    group: str


@dataclass(slots=True)
class _Content:
    """The content of the lines read so far. The methods raise ValueError for a bad line."""

    path: Path
    root: Path
    roots: tuple[Path, ...]
    items: dict[Item, int] = field(default_factory=dict)
    """The index of each distinct target. Two ids with equal content share one."""
    targets: dict[str, int] = field(default_factory=dict)
    queries: dict[str, _Draft] = field(default_factory=dict)
    lines: dict[tuple[str, str], int] = field(default_factory=dict)
    """The line of each (kind, id)."""

    def add(self, number: int, line: Mapping[str, object]) -> None:
        kind = next((kind for kind in _KEYS if kind in line), None)
        if kind is None:
            raise _of_no_kind(self.path, number, line)
        unknown_keys(line, _KEYS[kind], f"a {kind}")
        name = _id(line, kind, number, self.lines)
        item = parse_item(line, self.root, place_of(self.path, number), self.roots)
        if kind == "target":
            self.targets[name] = self.items.setdefault(item, len(self.items))
        else:
            self.queries[name] = _Draft(
                number, item, _positives(line), _ids(line, "candidates"), string_of(line, "group")
            )

    def query(self, name: str) -> Query:
        draft = self.queries[name]
        if not draft.positives:
            raise ValueError(f"query {name!r} has no positives")
        candidates, positives = self._indexes(draft.candidates), self._indexes(list(draft.positives))
        missing = [each for each in draft.positives if candidates.size and self.targets[each] not in candidates]
        if missing:
            raise ValueError(f"{missing[0]!r} is among the positives of query {name!r}, but not among its candidates")
        grades: dict[int, int] = {}  # of two ids with equal content the higher grade counts
        for index, grade in zip(positives.tolist(), draft.positives.values(), strict=True):
            grades[index] = max(grade, grades.get(index, 0))
        graded = () if set(grades.values()) == {1} else tuple(grades.values())
        return Query(name, draft.item, candidates, np.fromiter(grades, dtype=np.int32), draft.group, graded)

    def _indexes(self, names: Sequence[str]) -> IndexArray:
        try:
            return np.asarray([self.targets[name] for name in names], dtype=np.int32)
        except KeyError as error:
            raise ValueError(f"there is no target {error.args[0]!r}") from None


@dataclass(frozen=True, slots=True)
class JsonlSource:
    """Reads a task from one file."""

    path: Path
    images: Path | None = None
    """The folder that paths of images and videos are relative to. None: the folder of the file."""
    roots: tuple[Path, ...] = ()
    """Other folders that links may lead into."""

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"the file {self.path}"

    def info(self, task: Task) -> DataInfo:  # noqa: ARG002 -- the file is the task
        """Names the file. Raises UserError if the file or the folder of media is missing."""
        if not self.path.is_file():
            raise UserError(not_a(self.path, "a file"), "Check --data.")
        if self.images is not None and not self.images.is_dir():
            raise UserError(not_a(self.images, "a folder"), "Name the folder of images with --images.")
        return DataInfo("JSON Lines file", "local", (self.path,), self.images or self.path.parent, roots=self.roots)

    def load(self, task: Task) -> TaskData:
        """Reads the queries and the distinct targets, both in the order of the file.

        Targets of equal content are one target. The notes count `duplicate_candidates`, as for the other layouts.
        Raises UserError that names the line, and for a file without a query or without a target.
        """
        self.info(task)
        content = _Content(self.path, self.images or self.path.parent, self.roots)
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
        if any(not query.candidates.size for query in queries):  # they rank the whole file
            repeats += len(content.targets) - len(content.items)
        notes = {"duplicate_candidates": repeats} if repeats else {}
        return TaskData(tuple(queries), tuple(content.items), MappingProxyType(notes))


def jsonl_task(path: Path, images: Path | None = None, roots: tuple[Path, ...] = ()) -> Task:
    """The task of a file, with the name of the file. Its scope is global if no query lists candidates.

    Its main metric is that of a corpus, ndcg@10, if a query has grades.

    Raises UserError if the file or the folder of media is missing.
    """
    task = Task(path.stem, None, None, None, None, JsonlSource(path, images, roots), scope="local")
    task.source.info(task)
    with explain_reading(path), path.open("rb") as file:
        lines = [(bool(_CANDIDATES_KEY.search(line)), bool(_GRADES_KEY.search(line))) for line in file]
    if any(graded for _, graded in lines):
        task = replace(task, metrics=tuple(dict.fromkeys(("ndcg@10", *task.metrics))))
    return task if any(lists for lists, _ in lines) else replace(task, scope="global")


def read_items(path: Path, root: Path | None = None, roots: tuple[Path, ...] = ()) -> tuple[OwnItem, ...]:
    """The items of a file, in its order. Media lie in `root`, by default the file's folder, or behind links in `roots`.

    Raises UserError that names the line for a bad item and for an id that is missing or repeated.
    """
    if not path.is_file():
        raise UserError(not_a(path, "a file"), 'Write a JSON Lines file: {"id": "a", "text": "..."} on each line.')
    if root is not None and not root.is_dir():
        raise UserError(not_a(root, "a folder"), "Name the folder that media paths are relative to with --root.")
    lines: dict[tuple[str, str], int] = {}
    items = []
    for number, line in read_lines(path):
        place = place_of(path, number)
        try:
            unknown_keys(line, _OWN_KEYS, "an item")
            name = _id(line, "id", number, lines)
            item = parse_item(line, root or path.parent, place, roots)
            items.append(OwnItem(name, item, parse_role(line), place))
        except ValueError as error:
            raise bad_line(path, number, error) from None
    if not items:
        raise UserError(f"{path} has no items.", 'Write lines such as {"id": "a", "text": "..."}.')
    return tuple(items)


def _id(line: Mapping[str, object], key: str, number: int, lines: dict[tuple[str, str], int]) -> str:
    """The id of a line, which is noted in `lines`."""
    name = string_of(line, key)
    if not name:
        raise ValueError(f"{key} must be a string that is not empty")
    first = lines.setdefault((key, name), number)
    if first != number:
        raise ValueError(f"line {first} has the {key} {name!r} too")
    return name


def _positives(line: Mapping[str, object]) -> dict[str, int]:
    """The grades of the right targets. A grade of 0 or below is a judgement too: the target is wrong."""
    value = line.get("positives")
    if not isinstance(value, dict):
        return dict.fromkeys(_ids(line, "positives"), 1)
    bad = [grade for grade in value.values() if not isinstance(grade, int) or isinstance(grade, bool)]
    if bad:
        raise ValueError(f"a grade in positives is {bad[0]!r}, which is no whole number")
    right = {name: grade for name, grade in value.items() if grade > 0}
    if not right:
        raise ValueError("positives has no grade above 0")
    return right


def _ids(line: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = line.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key} must be a list of ids, which are strings")
    if key in line and not value:
        raise ValueError(f"{key} is an empty list")
    return tuple(value)


def _of_no_kind(path: Path, number: int, line: Mapping[str, object]) -> UserError:
    """The error for a line that is neither a target nor a query. It names the layout if the folder has another one."""
    keys = shortened(", ".join(map(repr, line)) or "none")
    what = f'it is neither a target (key "target") nor a query (key "query"). Its keys: {keys}'
    around = kind_of_folder(path.parent)
    hint = f"The file is part of {around.name}. {around.remedy}\n{_LINES}" if around is BEIR else _LINES
    return bad_line(path, number, what, hint)
