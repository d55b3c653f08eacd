"""A task from a corpus with queries and graded judgements.

Every query ranks the whole corpus, unless `top_ranked` names its candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from harness.errors import UserError, shortened
from harness.media.places import check_inside
from harness.types import DataInfo, IndexArray, Item, Query, Task, TaskData
from tasks.corpus.judgements import QUERY_KEYS, Judgements, identifier, read_judgements
from tasks.corpus.layout import CorpusFiles, find_corpora
from tasks.corpus.rows import ID_KEYS, ItemReader, ItemRow
from tasks.corpus.tables import Row, RowTable

METRICS = (
    *("ndcg@10", "ndcg@5", "ndcg-exp@10", "recall@1", "recall@5", "recall@10", "recall@100"),
    *("all-recall@5", "all-recall@10"),
    *("hit@1", "hit@5", "hit@10", "map", "mrr", "mean_rank", "median_rank"),
)
"""Metrics of a corpus. The first is the main one of BEIR, MTEB, MIEB and ViDoRe V3."""
_LOCAL_METRICS = ("hit@1", *(name for name in METRICS if name != "hit@1"))
"""The same where queries have candidates of their own, as in MRMR's negation."""
ReadItem: TypeAlias = Callable[[Row, str], ItemRow]
"""Makes an item of a row and its id."""
OfficialGrades: TypeAlias = Callable[[Mapping[str, int]], Mapping[str, int]]
"""Makes, of the grades of a query's right targets by id, those that the public code pairs with them."""
CANDIDATES_KEY = "corpus-ids"
"""The column of `top_ranked` that lists the ids of a query's candidates."""
_IMAGE_FOLDERS = ("images", "doc_images")
_NOTHING: IndexArray = np.empty(0, dtype=np.int32)


@dataclass(slots=True)
class _Pool:
    """The distinct targets of a corpus, and the index of each id. Targets of equal content are one target."""

    items: dict[Item, int] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    targets: Sequence[Item] = ()
    notes: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, item: Item, place: str) -> None:
        number = self.items.setdefault(item, len(self.items))
        if name in self.ids:
            if self.ids[name] != number:
                what = f"{place}: the id {shortened(name)} is that of another target in {self.places[name]}."
                raise UserError(what, "Ids of a corpus are unique. Put the name of its part before each id.")
            self.notes["repeated_targets"] += 1
            return
        self.ids[name] = number
        self.places[name] = place

    def leave_out(self, reason: str, query: str) -> None:
        self.notes[reason] += 1
        self.left_out.setdefault(reason, []).append(query)


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """Reads one corpus of a folder."""

    found: CorpusFiles
    images: Path | None = None
    """The folder that paths of media are relative to. None: the folder of the corpus, or `images` in it."""
    roots: tuple[Path, ...] = ()
    """Other folders that links may lead into."""

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"the corpus {self.found.name} in {self.found.folder}"

    def info(self, task: Task) -> DataInfo:  # noqa: ARG002 -- the folder is the task
        """Names the files. Raises UserError if one lies outside of the folder, or the folder of media is missing."""
        if self.images is not None and not self.images.is_dir():
            raise UserError(f"{self.images} is not a folder.", "Name the folder of images with --images.")
        for file in self.found.files:
            check_inside(file, self._roots)
        renamed = sorted(self.found.corpus.renamed.items())
        content = f"columns {renamed}" if renamed else ""
        return DataInfo("corpus", "local", self.found.files, self._root, content=content, roots=self._roots)

    def load(self, task: Task) -> TaskData:
        """Reads targets, judgements and queries, as `load_corpus` does. Raises: UserError that names file and row."""
        self.info(task)
        read = ItemReader(self._root, self._roots).read
        return load_corpus(self.found, read, read, read_judgements(self.found.judgements, queries=self._query_names))

    def _query_names(self) -> Sequence[str]:
        return [identifier(row, ID_KEYS) for row in self.found.queries.rows()]

    @property
    def _root(self) -> Path:
        if self.images is not None:
            return self.images
        inside = (self.found.folder / name for name in _IMAGE_FOLDERS)
        return next((folder for folder in inside if folder.is_dir()), self.found.folder)

    @property
    def _roots(self) -> tuple[Path, ...]:
        return (self.found.folder, *self.roots)


def load_corpus(
    found: CorpusFiles,
    read_query: ReadItem,
    read_target: ReadItem,
    judged: Judgements,
    official: OfficialGrades | None = None,
) -> TaskData:
    """Reads a corpus and its queries. Queries without a judgement, or without a right target, are left out.

    `official` gives the grades that the public code pairs with the targets of a query.

    `left_out` names them. The notes count what was left out: `queries_not_judged`, `queries_without_right_target`,
    `judgements_outside_the_pool`, `judgements_of_no_query`. They also count `repeated_judgements`,
    `repeated_targets`, `targets_of_equal_content`, the queries of each language where there are several, and
    `queries_left_out_of_their_pools`: such a query is a target itself, and does not rank that.

    Raises: UserError that names file and row.
    """
    pool = _Pool()
    for row in found.corpus.rows():
        pool.add(*read_target(row, identifier(row, ID_KEYS)))
    pool.targets = list(pool.items)
    queries = _queries(found.queries, read_query, pool, judged, _candidates(found, pool))
    if official is not None:
        queries = tuple(_with_official_grades(query, judged.grades[query.id], pool, official) for query in queries)
    if not queries:
        what = f"{found.folder}: no query has a right target in the corpus."
        raise UserError(what, "Check that the ids of queries, corpus and judgements are the same.")
    pool.notes["targets_of_equal_content"] += len(pool.ids) - len(pool.items)
    pool.notes["repeated_judgements"] += judged.repeated
    notes = {name: count for name, count in pool.notes.items() if count}
    left_out = MappingProxyType({reason: tuple(ids) for reason, ids in pool.left_out.items()})
    return TaskData(queries, tuple(pool.items), MappingProxyType(notes), left_out=left_out)


def _candidates(found: CorpusFiles, pool: _Pool) -> Mapping[str, IndexArray]:
    """The candidates of each query that `top_ranked` names. Raises: UserError for an id that the corpus lacks."""
    candidates: dict[str, IndexArray] = {}
    for row in RowTable(found.ranked).rows():
        names = row.fields.get(CANDIDATES_KEY)
        if not isinstance(names, list) or not names:
            what = f"{row.place}: {CANDIDATES_KEY} is no list of ids."
            raise UserError(what, "Each row of top_ranked has query-id and the list corpus-ids.")
        unknown = [name for name in names if str(name) not in pool.ids]
        if unknown:
            raise UserError(f"{row.place}: the corpus has no {shortened(repr(unknown[0]))}.", "Correct top_ranked.")
        places = [pool.ids[str(name)] for name in names]
        candidates[identifier(row, QUERY_KEYS)] = np.array(places, dtype=np.int32)
    return candidates


def _queries(
    table: RowTable, read: ReadItem, pool: _Pool, judged: Judgements, candidates: Mapping[str, IndexArray]
) -> tuple[Query, ...]:
    """The queries that have a right target among their candidates. `pool.notes` count the others."""
    queries: dict[str, Query] = {}
    seen: set[str] = set()
    languages: Counter[str] = Counter()
    for row in table.rows():
        name = identifier(row, ID_KEYS)
        if name in seen:
            raise UserError(f"{row.place}: the query {shortened(name)} is there twice.", "Ids of queries are unique.")
        seen.add(name)
        if name not in judged.grades:
            pool.leave_out("queries_not_judged", name)
            continue
        item = read(row, name).item
        if candidates and name not in candidates:
            what = f"{row.place}: top_ranked names no candidates of the query {shortened(name)}."
            raise UserError(what, "Name them, or take top_ranked away, so that all queries rank the whole corpus.")
        own = candidates.get(name, _NOTHING)
        itself = _NOTHING if own.size else _itself(name, item, pool)
        right = _right(judged.grades[name], pool).items()
        grades = {index: grade for index, grade in right if index not in itself and (not own.size or index in own)}
        if not grades:
            pool.leave_out("queries_without_right_target", name)
            continue
        queries[name] = Query(
            name,
            item,
            own,
            np.fromiter(grades, dtype=np.int32),
            grades=() if set(grades.values()) == {1} else tuple(grades.values()),
            excluded=itself,
        )
        languages[str(row.fields.get("language") or "no_language")] += 1
    if len(languages) > 1:
        pool.notes.update({f"queries_in_{language}": count for language, count in languages.items()})
    pool.notes["judgements_of_no_query"] += sum(len(each) for name, each in judged.grades.items() if name not in seen)
    return tuple(queries.values())


def _itself(name: str, item: Item, pool: _Pool) -> IndexArray:
    """The index of the target that is the query itself: the same id, media and text, apart from a title.

    Equal ids alone say nothing: many corpora number queries and targets from 0. Source of the rule: BEIR leaves out
    targets with the id of the query, in sets whose queries are documents, such as ArguAna.
    """
    index = pool.ids.get(name)
    if index is None:
        return _NOTHING
    target = pool.targets[index]
    names = [tuple(medium.name for medium in each.media) for each in (item, target)]
    if names[0] != names[1] or not target.text.endswith(item.text):
        return _NOTHING
    pool.notes["queries_left_out_of_their_pools"] += 1
    return np.array([index], dtype=np.int32)


def _right(grades: Mapping[str, int], pool: _Pool) -> dict[int, int]:
    """The grades of the right targets by index. Of several ids with equal content the highest grade counts."""
    right: dict[int, int] = {}
    for name, grade in grades.items():
        index = pool.ids.get(name)
        if index is None:
            pool.notes["judgements_outside_the_pool"] += 1
        elif grade > 0:
            right[index] = max(grade, right.get(index, 0))
    return right


def _with_official_grades(query: Query, judged: Mapping[str, int], pool: _Pool, official: OfficialGrades) -> Query:
    """The query with the grades of its right targets in the public code, if they are others."""
    paired: dict[int, int] = {}
    for name, grade in official({name: grade for name, grade in judged.items() if grade > 0}).items():
        if (index := pool.ids.get(name)) is not None:
            paired[index] = max(grade, paired.get(index, 0))
    found = tuple(paired[index] for index in query.positives.tolist())
    return query if found == (query.grades or (1,) * len(found)) else replace(query, official_grades=found)


def corpus_tasks(
    data: Path, images: Path | None = None, roots: tuple[Path, ...] = (), columns: Mapping[str, str] | None = None
) -> tuple[Task, ...]:
    """Returns a task for each corpus in a folder; none if it holds none. `columns` are those of the corpus and queries.

    Raises: UserError as `find_corpora` does.
    """
    found = (each.with_columns(columns or {}) for each in find_corpora(data))
    return tuple(_task(CorpusSource(each, images, roots)) for each in found)


def _task(source: CorpusSource) -> Task:
    task = Task(source.found.name, "retrieval", None, None, None, source, scope="global", metrics=METRICS)
    return replace(task, scope="local", metrics=_LOCAL_METRICS) if source.found.ranked else task
