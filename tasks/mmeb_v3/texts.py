"""The text tasks of MMEB-V3: their rows in the registry, and their reader.

Source of all rules: TIGER-AI-Lab/VLM2Vec src/data/eval_dataset at 1e402c47. A query is its text alone. FollowIR has an
instruction for each query before it, with a space between. A target is its title, a newline and its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.files.reading import place_of
from harness.media.places import check_inside
from harness.types import DataInfo, Item, Task, TaskData
from tasks.corpus.judgements import Judgements, identifier
from tasks.corpus.layout import CorpusFiles, split_files
from tasks.corpus.rows import ItemRow
from tasks.corpus.source import load_corpus
from tasks.corpus.tables import FORMATS, Row, RowTable
from tasks.mmeb_v3.parts import READ
from tasks.video.retrieval import TRIED

METRICS = ("ndcg@5", "ndcg@10", "hit@1", "hit@5", "recall@5", "recall@10", "map", "mrr", "mean_rank")
_QUERY_IDS = ("_id", "id", "qid", "query_id", "query-id")
_TARGET_IDS = ("_id", "id", "doc_id", "document_id", "corpus-id")
_QUERY_TEXTS, _TARGET_TEXTS = ("text", "query", "query_content", "short_query"), ("text", "content")
_JUDGED_QUERIES = ("query_id", "query-id", "qid", "q_id", "id")
_JUDGED_TARGETS = ("corpus_id", "corpus-id", "doc_id", "document_id", "p_id")
_GRADES = ("label", "score")
_GOLD = ("gold_ids", "gold_ids_long")
_HINT = "Compare the file with that on the hub."


@dataclass(frozen=True, slots=True)
class V3Family:
    """How a family of sets is stored. Names are of files without extension, or of folders of shards."""

    name: str
    queries: str
    corpus: str
    judgements: str
    """Empty: the right targets are named in the rows of queries."""
    instruction: str = ""
    """The column of a query's instruction."""


_FAMILIES = (
    V3Family("BRIGHT", "examples", "documents", ""),
    V3Family("FollowIR", "queries", "corpus", "qrels_og", "instruction_og"),
    V3Family("NanoBEIR", "queries", "corpus", "qrels"),
    V3Family("R2MED", "query", "corpus", "qrels"),
)


@dataclass(frozen=True, slots=True)
class V3TextSource:
    """Reads a set of texts."""

    family: V3Family
    member: str
    data: Path | None = None
    """The folder that holds the folders of the families. None: there is none yet."""
    roots: tuple[Path, ...] = ()

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"MMEB-V3's folder {self.data}" if self.data else "a folder that --data names"

    def files(self) -> tuple[Path, ...]:
        """The files of the tables. Empty: the folder does not have the task. Raises: UserError for a table too few."""
        found = self._tables()
        return found.files if found else ()

    def info(self, task: Task) -> DataInfo:
        """Names the files. Raises: UserError if there are none."""
        found = self._found(task)
        for file in found.files:
            check_inside(file, (found.folder, *self.roots))
        return DataInfo("MMEB-V3 folder", "local", found.files, found.folder, roots=(found.folder, *self.roots))

    def load(self, task: Task) -> TaskData:
        """Reads texts and judgements. Raises: UserError that names file and row."""
        found = self._found(task)
        judged = self._judged(found)
        return load_corpus(found, self._query, _target, judged)

    def _found(self, task: Task) -> CorpusFiles:
        found = self._tables()
        if found is None:
            place = f"{self.family.name}/{self.member}"
            what = f"{self.data} has no {place}." if self.data else f"{task.name} is not fetched from here."
            raise UserError(what, f"Put its tables into {place} of a folder, and name that folder with --data.")
        return found

    def _tables(self) -> CorpusFiles | None:
        """The tables in the set's own folder, or those that a family has for each member (BRIGHT on the hub)."""
        if self.data is None:
            return None
        names = [name for name in (self.family.queries, self.family.corpus, self.family.judgements) if name]
        family = self.data / self.family.name
        places = [(family / self.member, [_table(family / self.member, name) for name in names])]
        places.append((family, [_shards(family / name, self.member) for name in names]))
        return next((self._corpus(folder, tables) for folder, tables in places if all(tables)), None)

    def _corpus(self, folder: Path, tables: Sequence[tuple[Path, ...]]) -> CorpusFiles:
        queries, corpus, *judged = tables
        texts = _named(RowTable(corpus), _TARGET_IDS, _TARGET_TEXTS)
        return CorpusFiles(
            self.member, folder, texts, _named(RowTable(queries), _QUERY_IDS, _QUERY_TEXTS), *(judged or [()])
        )

    def _judged(self, found: CorpusFiles) -> Judgements:
        """The judgements. Of several of one pair the highest counts, as in the public code."""
        judged = Judgements(highest=True)
        if not found.judgements:
            for row in found.queries.rows():
                gold = next((row.fields[key] for key in _GOLD if row.fields.get(key)), None)
                if not isinstance(gold, list):
                    raise UserError(f"{row.place}: none of {', '.join(_GOLD)} is a list of ids.", _HINT)
                for name in gold:
                    judged.add(row.place, identifier(row, ("_id",)), str(name), 1)
            return judged
        for row in RowTable(found.judgements).rows():
            key = next((key for key in _GRADES if row.fields.get(key) is not None), None)
            grade = 1 if key is None else _whole(row, key)
            judged.add(row.place, identifier(row, _JUDGED_QUERIES), identifier(row, _JUDGED_TARGETS), grade)
        return judged

    def _query(self, row: Row, name: str) -> ItemRow:
        before = _text(row, self.family.instruction) if self.family.instruction else ""
        return ItemRow(name, Item(_text(row, "text"), (), f"{before} " if before else ""), row.place)


def _target(row: Row, name: str) -> ItemRow:
    title = row.fields.get("title")
    text = _text(row, "text")
    return ItemRow(name, Item(f"{title}\n{text}" if isinstance(title, str) and title else text), row.place)


def _text(row: Row, column: str) -> str:
    value = row.fields.get(column)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{row.place}: {column} is not a text, but {value!r:.80}.", _HINT)
    return value


def _whole(row: Row, key: str) -> int:
    value = row.fields[key]
    try:
        number = float(str(value))
    except ValueError:
        number = 0.5
    if not number.is_integer():
        raise UserError(f"{row.place}: {key} is {value!r:.80}, which is no whole number.", _HINT)
    return int(number)


def _named(table: RowTable, ids: Sequence[str], texts: Sequence[str]) -> RowTable:
    """The table with its column of ids as `_id` and its column of texts as `text`."""
    first = next(table.rows(), Row(place_of(table.files[0], 1), {})).fields
    found = {"_id": next((key for key in ids if key in first), "_id")}
    found["text"] = next((key for key in texts if key in first), "text")
    return table.with_columns({name: column for name, column in found.items() if name != column})


def _table(folder: Path, name: str) -> tuple[Path, ...]:
    """The files of a table: `NAME.EXTENSION`, the test split in the folder NAME, or shards `NAME-0000N-of-0000M`."""
    for ending in FORMATS:
        if (folder / f"{name}{ending}").is_file():
            return (folder / f"{name}{ending}",)
    return split_files(folder / name, FORMATS) if (folder / name).is_dir() else _shards(folder, name)


def _shards(folder: Path, name: str) -> tuple[Path, ...]:
    found = sorted(folder.glob(f"{name}-*-of-*")) if folder.is_dir() else []
    return tuple(path for path in found if path.suffix in FORMATS) or tuple(
        path for ending in FORMATS if (path := folder / f"{name}{ending}").is_file()
    )


def _task(family: V3Family, member: str) -> Task:
    notes: tuple[str, ...] = (
        "Queries without a right target are left out and counted; the public code keeps them.",
        TRIED,
    )
    if not family.judgements:
        notes = ("Its excluded_ids are not applied, as in the public code.", *notes)
    return Task(
        f"{family.name}_{member}",
        "retrieval",
        None,
        "text",
        "text",
        V3TextSource(family, member),
        scope="global",
        metrics=METRICS,
        notes=notes,
    )


ROWS = tuple(_task(family, member) for family in _FAMILIES for member in READ[family.name])
"""The tasks without data."""
