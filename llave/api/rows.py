"""Queries, candidates and positives made in Python, as a task. `llave.task` is the front of it."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from harness.data.items import ITEM_FIELDS
from harness.errors import UserError, counted
from harness.identity import fingerprint
from harness.types import DataInfo, IndexArray, Item, Query, Task, TaskData
from llave.api.items import Records, records_of, to_item

_KEYS = ("id", *ITEM_FIELDS)
_FIX = "Correct the data that was given."


@dataclass(frozen=True, slots=True)
class PythonRows:
    """Rows that lie in memory. Equal rows are known by one digest; where media lie is not part of it."""

    content: str
    """SHA-256 over ids, texts, instructions, kinds of media and positives."""
    data: TaskData = field(compare=False, repr=False)
    roots: tuple[Path, ...] = field(default=(), compare=False)
    """Other folders that links may lead into."""

    def describe(self) -> str:
        """One line for a person: where the data comes from."""
        return f"rows made in Python (digest {self.content[:12]})"

    def info(self, task: Task) -> DataInfo:  # noqa: ARG002 -- the rows are the task
        """Says that no file decides the rows."""
        return DataInfo("Python", "local", (), content=self.content, roots=self.roots)

    def load(self, task: Task) -> TaskData:  # noqa: ARG002 -- the rows are the task
        """The rows, which were checked when the task was made."""
        return self.data


def task(
    name: str,
    *,
    queries: Records,
    candidates: Records,
    positives: Iterable[object],
    groups: Sequence[str] = (),
    metrics: Sequence[str] = (),
    root: str | Path | None = None,
    allow_roots: Sequence[str | Path] = (),
) -> Task:
    """A task made of your own queries and candidates, for `evaluate`. Every query ranks all candidates.

    Args:
        name: what tables and result files call the task.
        queries: Q items: texts, dictionaries with `text`, `image`, `video`, `instruction` and `id`, or PIL images. They
            lie in a list, a mapping by id, a pandas Series or DataFrame, or a `datasets.Dataset` or its column. A
            medium is a path, a PIL image, or has `bytes` or `path`. `content` lists texts and media in any order.
        candidates: the items that are ranked, in any of the same forms. Candidates of equal content are one candidate.
        positives: for each of the Q queries the right candidate, or a list of them: positions, from 0, or ids. Or a
            mapping from these to grades of relevance, `{"t1": 2, "t2": 1}`, which nDCG uses. They lie in the order of
            the queries, or in a mapping by the queries' ids.
        groups: for each of the Q queries the name of its group. A group, such as wordings of one question, is one
            cluster in intervals and tests. Empty: queries that share a picture or a right candidate are.
        metrics: names of metrics, such as `hit@1`, `recall@5`, `ndcg@10`; the first is the main one. Empty: those of
            MMEB, with `hit@1` (P@1) as the main one; with grades, `ndcg@10` comes first.
        root: the folder that relative paths start from; the working folder if None.
        allow_roots: other folders that links may lead into.

    Returns:
        The task. Its rows are checked. Images that are in no file are written to the cache folder, by their content.

    Raises:
        UserError: for an item that is none, a positive that is no candidate, and lengths that do not match.

    Example:
        >>> import llave
        >>> animals = llave.task(
        ...     "animals", queries=["it barks", "it purrs"], candidates=["a dog", "a cat", "a fish"], positives=[0, 1]
        ... )
    """
    from harness.scoring.metrics import Metric

    if not name.strip():
        raise UserError("A task needs a name.", "Give one, such as 'animals'.")
    [*map(Metric.parse, metrics)]
    places = (Path.cwd() if root is None else Path(root).absolute(), *map(Path, allow_roots))
    pool = _Candidates(name, places, candidates)
    asked = list(_items(name, "query", queries, places))
    right, named = _in_order(name, positives, [own for own, _ in asked]), _groups(name, groups, asked)
    if not asked or not pool.items:
        raise UserError(f"{name} has no {'candidate' if asked else 'query'}.", "Give at least one.")
    none: IndexArray = np.empty(0, dtype=np.int32)
    rows = tuple(
        Query(own or str(number), item, none, *pool.right(each, f"query {number}", group))
        for number, ((own, item), each, group) in enumerate(zip(asked, right, named, strict=True))
    )
    data = TaskData(rows, tuple(pool.items))
    made = Task(name, None, None, None, None, PythonRows(_digest(data), data, places[1:]), scope="global")
    return replace(made, metrics=tuple(metrics) or _usual(made.metrics, rows))


def _usual(metrics: tuple[str, ...], rows: Sequence[Query]) -> tuple[str, ...]:
    """The metrics of a task that names none. With grades, nDCG is the main one."""
    return tuple(dict.fromkeys(("ndcg@10", *metrics))) if any(row.grades for row in rows) else metrics


def _groups(task_name: str, groups: Sequence[str], asked: Sequence[object]) -> Sequence[str]:
    """The group of each query. Raises UserError unless there is a name for each query, or for none."""
    if not len(groups):
        return [""] * len(asked)
    if len(groups) != len(asked) or not all(isinstance(each, str) for each in groups):
        what = f"{task_name} has {len(asked)} queries, but groups for {len(groups)}, each of which must be a string."
        raise UserError(what, "Give each query the name of its group.")
    return list(groups)


def _in_order(task_name: str, positives: Iterable[object], ids: Sequence[str]) -> list[object]:
    """The positives of each query. Raises UserError unless every query has some, and nothing else has."""
    if isinstance(positives, Mapping):
        if unknown := [each for each in positives if each not in ids or not each]:
            raise UserError(f"{task_name} has positives for {unknown[0]!r}, which is no query's id.", _FIX)
        positives = [positives[each] for each in ids if each in positives]
    right = list(positives)
    if len(ids) != len(right):
        raise UserError(
            f"{task_name} has {counted(len(ids), 'query')}, but positives for {len(right)}.", "Give each query some."
        )
    return right


class _Candidates:
    """The candidates, unique by content, and where each position and id leads."""

    def __init__(self, task_name: str, places: tuple[Path, ...], given: Records) -> None:
        self._task = task_name
        self.items: dict[Item, int] = {}
        self._places: list[int] = []
        self._ids: dict[str, int] = {}
        for own, item in _items(task_name, "candidate", given, places):
            place = self.items.setdefault(item, len(self.items))
            self._places.append(place)
            if own:
                self._ids[own] = place

    def right(self, given: object, where: str, group: str) -> tuple[IndexArray, str, tuple[int, ...]]:
        """Indexes `(P,)` of a query's positives, its group, and their grades. Raises UserError for no candidate."""
        several = not isinstance(given, str) and isinstance(given, Iterable)
        chosen = list(given) if several and isinstance(given, Iterable) else [given]
        grades: dict[int, int] = {}
        for each in chosen:
            index, grade = self._index(each, where), given[each] if isinstance(given, Mapping) else 1
            if not isinstance(grade, int) or isinstance(grade, bool):
                raise UserError(f"{self._task}: {where}: a grade is a whole number, not {grade!r:.80}.", _FIX)
            if grade > 0:
                grades[index] = max(grade, grades.get(index, 0))
        if not grades:
            raise UserError(f"{self._task}: {where} has no positive.", "Give each query at least one.")
        graded = () if set(grades.values()) == {1} else tuple(grades.values())
        return np.fromiter(grades, dtype=np.int32), group, graded

    def _index(self, given: object, where: str) -> int:
        if isinstance(given, str):
            if given not in self._ids:
                has = f"The ids are {', '.join(list(self._ids)[:5])}, ..." if self._ids else "No candidate has an id."
                raise UserError(f"{self._task}: {where}: there is no candidate with the id {given!r}.", has)
            return self._ids[given]
        try:
            place = operator.index(given)  # type: ignore[arg-type]  # what is no number is the case below
        except TypeError:
            what = f"{self._task}: {where}: a positive is a position or an id, not {given!r:.80}."
            raise UserError(what, _FIX) from None
        if isinstance(given, bool) or not 0 <= place < len(self._places):
            count = len(self._places)
            raise UserError(
                f"{self._task}: {where}: there is no candidate at position {given!r}.",
                f"It has {counted(count, 'candidate')}, at positions 0 to {count - 1}.",
            )
        return self._places[place]


def _items(task_name: str, kind: str, given: Records, places: tuple[Path, ...]) -> Iterator[tuple[str, Item]]:
    """Id, empty if there is none, and item of each record. The first place is what relative paths start from."""
    for number, (own, record) in enumerate(records_of(given, f"{task_name}, {kind}")):
        where = f"{task_name}, {kind} {number}"
        try:
            yield own, to_item(record, places[0], _KEYS, where, places[1:])
        except ValueError as error:
            raise UserError(f"{where}: {error}.", _FIX) from None


def _digest(data: TaskData) -> str:
    """What decides the rows, apart from the bytes of media, which every dataset is known by anyway."""
    return fingerprint(
        {
            "queries": [
                [
                    *(query.id, *_fields(query.item), query.positives.tolist()),
                    *([query.group] if query.group else []),
                    *([list(query.grades)] if query.grades else []),
                ]
                for query in data.queries
            ],
            "candidates": [_fields(item) for item in data.targets],
        }
    )


def _fields(item: Item) -> list[object]:
    return [item.instruction, item.text, [medium.kind for medium in item.media]]
