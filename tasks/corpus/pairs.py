"""One table of pairs as tasks: images or texts with a label, images with captions, or questions with evidence.

- **A label column** makes a classification task. Each row is a query, and the distinct labels are the targets. As a
  clustering, it may have numbers without names too.
- **A caption column** makes two tasks of retrieval, from image to text and from text to image. Each caption of an image
  is right for it, and `hit@k` is what is called R@k for COCO and Flickr30K.
- **An evidence column** makes a task of retrieval for multimodal RAG, as in MRAG-Bench. Each row is a question, with an
  image or without. Its images of evidence are right, and `retrieved_images` join the pool.

A table is a file, or a folder of shards as the hub, `save_to_disk` and webdataset store them. Images in a folder for
each class are such a table too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from harness.errors import UserError, shortened
from harness.files.parquet import read_schema
from harness.files.reading import explain_reading, read_text
from harness.media.places import check_inside
from harness.scoring.clustering import is_clustering
from harness.types import DataInfo, IndexArray, Item, Query, Task, TaskData
from tasks.corpus.card import CardTable, card_tables
from tasks.corpus.class_folders import ClassFolders, class_folders
from tasks.corpus.layout import SPLITS, chosen_split, split_folders, tables_in
from tasks.corpus.rows import ID_KEYS, IMAGE_KEYS, VIDEO_KEYS, ItemReader
from tasks.corpus.source import METRICS as CORPUS_METRICS
from tasks.corpus.tables import ARROW, FILE_FORMATS, FORMATS, TAR, Row, RowTable

LABEL_KEYS = ("label", "labels", "fine_label", "class", "category")
CAPTION_KEYS = ("captions", "caption", "sentences", "text")
EVIDENCE_KEYS, OTHERS = ("gt_images", "evidence"), "retrieved_images"
METRICS = ("hit@1", "hit@5", "hit@10", "mrr", "ndcg@10", "recall@5", "recall@10", "mean_rank", "median_rank")
CLASS_NAMES, _DESCRIBED = "classnames.txt", "metadata"
_NOTHING: IndexArray = np.empty(0, dtype=np.int32)
_Pair: TypeAlias = tuple[str, Item, list[Item]]
"""The name of a row, its item, and what is right for it."""
Pairing: TypeAlias = Literal["label", "image to text", "text to image", "evidence"]
_ENDINGS: Mapping[Pairing, str] = {"label": "", "image to text": "-i2t", "text to image": "-t2i", "evidence": ""}


@dataclass(frozen=True, slots=True)
class PairSource:
    """Reads one table of pairs. It is in `folder`, and its media too, unless `images` says otherwise."""

    table: RowTable | ClassFolders
    folder: Path
    pairing: Pairing
    column: str
    """The column of labels, captions or evidence."""
    images: Path | None = None
    roots: tuple[Path, ...] = ()

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"{self.pairing}, the column {self.column} of {self.table.place}"

    def info(self, task: Task) -> DataInfo:  # noqa: ARG002 -- the table is the task
        """Names the files. Raises UserError if one lies outside of the folder, or the folder of media is missing."""
        if self.images is not None and not self.images.is_dir():
            raise UserError(f"{self.images} is not a folder.", "Name the folder of images with --images.")
        for file in self.table.files:
            check_inside(file, (self.folder, *self.roots))
        return DataInfo(
            "table",
            "local",
            self.table.files,
            self.images or self.folder,
            content=f"{self.pairing} {self.column} {self.table.content}",
            roots=(self.folder, *self.roots),
        )

    def load(self, task: Task) -> TaskData:
        """Reads the rows. Raises UserError that names file and row.

        The notes count `rows_left_out`, which have no label, caption or evidence. `left_out` names them.
        """
        self.info(task)
        reader = ItemReader(self.images or self.folder, (self.folder, *self.roots))
        left_out: list[str] = []
        names = label_names(self.table.place, self.column) if self.pairing == "label" else ()
        any_number = self.pairing == "label" and is_clustering(task)
        pairs: list[_Pair] = []
        others: list[Item] = []
        for number, row in enumerate(self.table.rows()):
            if self.pairing == "evidence":
                right = _pictures(reader, row, self.column)
                others += _pictures(reader, row, OTHERS)
            else:
                right = [Item(text) for text in _texts(row, self.column, names, any_number=any_number)]
            if not right:
                left_out.append(_name(row, number))
                continue
            bare = row._replace(fields={key: value for key, value in row.fields.items() if key != self.column})
            pairs.append((_name(row, number), reader.read(bare, "").item, right))
        if not pairs:
            raise UserError(f"{self.table.place} has no row with {self.column}.", "Name another column: --columns.")
        queries, targets = (_reversed if self.pairing == "text to image" else _forward)(pairs)
        targets = list(dict.fromkeys([*targets, *others]))
        named = {"rows_left_out": tuple(left_out)} if left_out else {}
        notes = {reason: len(ids) for reason, ids in named.items()}
        return TaskData(tuple(queries), tuple(targets), MappingProxyType(notes), left_out=MappingProxyType(named))


def _pictures(reader: ItemReader, row: Row, column: str) -> list[Item]:
    return [Item("", (medium,)) for medium in reader.media(row, column)]


def _forward(pairs: list[_Pair]) -> tuple[list[Query], list[Item]]:
    """Each row asks for its right items."""
    targets: dict[Item, int] = {}
    queries = []
    for name, item, found in pairs:
        right = dict.fromkeys(targets.setdefault(each, len(targets)) for each in found)
        queries.append(Query(name, item, _NOTHING, np.fromiter(right, dtype=np.int32)))
    return queries, list(targets)


def _reversed(pairs: list[_Pair]) -> tuple[list[Query], list[Item]]:
    """Each text asks for its row. The texts of a row are wordings of one question, since they share their target."""
    targets: dict[Item, int] = {}
    queries = []
    for name, item, texts in pairs:
        right = np.array([targets.setdefault(item, len(targets))], dtype=np.int32)
        queries += [Query(f"{name}-{turn}", text, _NOTHING, right) for turn, text in enumerate(texts)]
    return queries, list(targets)


def _name(row: Row, number: int) -> str:
    value = next((row.fields[key] for key in ID_KEYS if row.fields.get(key) is not None), number)
    return str(value)


def _texts(row: Row, column: str, names: tuple[str, ...], *, any_number: bool) -> list[str]:
    """The labels or captions of a row. A number is a label by its name, or by itself with `any_number`."""
    value = row.fields.get(column)
    texts = []
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, int) and not isinstance(each, bool) and 0 <= each < len(names):
            texts.append(names[each])
        elif any_number and isinstance(each, int):
            texts.append(str(each))
        elif isinstance(each, str):
            texts += [each] if each.strip() else []
        elif each is not None:
            what = f"{row.place}: {column} is {shortened(repr(each))}, which is no text."
            raise UserError(what, "Numbers need the names of the classes, as a ClassLabel of datasets has them.")
    return texts


def label_names(file: Path, column: str) -> tuple[str, ...]:
    """Returns the names of the classes that `datasets` stores with a table; empty if there are none.

    Those of a shard of a webdataset are in `classnames.txt` beside it, or in the folder above, one a line.
    """
    if file.suffix.lower() == TAR:
        places = (folder / CLASS_NAMES for folder in (file.parent, file.parent.parent))
        return next((tuple(read_text(place).splitlines()) for place in places if place.is_file()), ())
    if file.suffix.lower() == ARROW:
        from datasets import Dataset

        with explain_reading(file, "an Arrow file"):
            return tuple(getattr(Dataset.from_file(str(file)).features.get(column), "names", None) or ())
    if file.suffix.lower() != ".parquet":
        return ()
    with explain_reading(file, "a whole Parquet file"):
        stored = json.loads((read_schema(file).metadata or {}).get(b"huggingface", b"{}"))
        names = stored.get("info", {}).get("features", {}).get(column, {}).get("names") or ()
    return tuple(map(str, names))


def pair_tasks(
    data: Path, images: Path | None = None, roots: tuple[Path, ...] = (), columns: Mapping[str, str] | None = None
) -> tuple[Task, ...]:
    """Returns the tasks of a table of pairs; none if `data` is no table with labels, captions or evidence.

    Raises: UserError if the table cannot be read.
    """
    found = _found(data, columns or {})
    name = data.stem if data.is_file() else data.resolve().name
    return tasks_of_table(name, *found, images, roots) if found else ()


def tasks_of_table(
    name: str, table: RowTable | ClassFolders, folder: Path, images: Path | None, roots: tuple[Path, ...]
) -> tuple[Task, ...]:
    """Returns the tasks of a table whose media lie in `folder`, or in `images`; none without pairs."""
    pairings, column = _pairings(next(table.rows(), None))
    sources = [PairSource(table, folder, pairing, column, images, roots) for pairing in pairings]
    return tuple(_task(name, source) for source in sources)


def _pairings(first: Row | None) -> tuple[tuple[Pairing, ...], str]:
    """What the columns of a table allow, and the column that decides it. Evidence and labels come before captions."""
    columns = first.fields if first else {}
    if evidence := next((key for key in EVIDENCE_KEYS if key in columns), None):
        return ("evidence",), evidence
    if label := next((key for key in LABEL_KEYS if key in columns), None):
        return ("label",), label
    caption = next((key for key in CAPTION_KEYS if key in columns), None)
    has_media = any(key in columns for key in (*IMAGE_KEYS, *VIDEO_KEYS))
    return (("image to text", "text to image"), caption) if caption and has_media else ((), "")


def _task(name: str, source: PairSource) -> Task:
    kind = "classification" if source.pairing == "label" else "retrieval"
    metrics = CORPUS_METRICS if source.pairing == "evidence" else METRICS
    task = Task(f"{name}{_ENDINGS[source.pairing]}", kind, None, None, None, source, scope="global", metrics=metrics)
    return replace(task, query_role="target") if source.pairing == "text to image" else task


def _found(data: Path, columns: Mapping[str, str]) -> tuple[RowTable | ClassFolders, Path] | None:
    """The table of a file or a folder, and the folder that its media are relative to."""
    files = table_files(data)
    if files:
        beside = data.is_file() or files[0].stem == _DESCRIBED
        return RowTable(files, MappingProxyType(dict(columns))), files[0].parent if beside else data
    if data.is_file():
        return None
    splits = {name: found for name in SPLITS if (data / name).is_dir() and (found := class_folders(data / name))}
    if splits:
        place = chosen_split({name: (found.place,) for name, found in splits.items()}, str(data))[0]
        return splits[place.name], place
    whole = class_folders(data)
    return (whole, data) if whole else None


def table_files(data: Path) -> tuple[Path, ...]:
    """Returns the files of a table: one file, those of a card, or those in a folder or its splits."""
    if data.is_file():
        return (data,) if data.suffix.lower() in FILE_FORMATS else ()
    if table := main_table(card_tables(data)):
        return chosen_split(table.splits, str(data))
    for folder in (data, data / "data"):
        if folder.is_dir() and (splits := tables_in(folder, FORMATS)):
            return chosen_split(splits, str(folder))
    splits = split_folders([data / name for name in SPLITS], FORMATS)
    return chosen_split(splits, str(data)) if splits else ()


def main_table(tables: Mapping[str, CardTable]) -> CardTable | None:
    """Returns the table of a card that is read without being named: `default`, or the only one."""
    held = {name: table for name, table in tables.items() if table.splits}
    return held.get("default") or (next(iter(held.values())) if len(held) == 1 else None)
