"""Turns the rows of a Parquet dataset into queries and distinct targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.errors import UserError
from harness.types import IndexArray, Item, Query, Task, TaskData
from tasks.embedded import image_of
from tasks.mmeb.instruct import JoinedText, is_blank, join_query, join_target
from tasks.mmeb.parquet import INSTRUCT, ParquetRows, read
from tasks.mmeb.texts import place, splitter
from tasks.names import parse_name

_EMPTY = "text and image are both empty"


class _Places(NamedTuple):
    """The folder that image paths are relative to, and others that images may lie in."""

    root: Path
    roots: tuple[Path, ...]


class _Context(NamedTuple):
    """What the targets of a row depend on besides their own text and image."""

    instruction: str = ""
    captioned: bool = True
    ending: str = ""


class _Reader(Protocol):
    """Makes the items of a layout. The methods raise ValueError for a text with wrong tokens."""

    notes: Counter[str]

    def query(self, row: int) -> Item: ...

    def context(self, row: int) -> _Context: ...

    def target(self, context: _Context, text: str, image: str) -> Item: ...


class _Eval:
    """MMEB-eval: instruction and text are one string, so the instruction is found by the task's template."""

    def __init__(self, rows: ParquetRows, task: Task, places: _Places) -> None:
        self.notes: Counter[str] = Counter()
        self._places = places
        self._texts, self._images = rows.strings("qry_text"), rows.strings("qry_img_path")
        self._split_query, self._split_target = splitter(task.query_instruction), splitter(task.target_instruction)

    def query(self, row: int) -> Item:
        return self._item(self._texts[row], self._images[row], self._split_query)

    def context(self, row: int) -> _Context:  # noqa: ARG002 -- a target is the same in every row
        return _Context()

    def target(self, context: _Context, text: str, image: str) -> Item:  # noqa: ARG002
        return self._item(text, image, self._split_target)

    def _item(self, text: str, image: str, split: Callable[[str], str]) -> Item:
        placed = place(text, bool(image))
        if placed.oddity:
            self.notes[placed.oddity] += 1
        instruction = split(placed.text)
        return Item(placed.text.removeprefix(instruction), image_of(image, *self._places), instruction)


class _Instruct:
    """MMEB_Test_Instruct: the strings are joined as the parsers of the public V2 evaluator join them."""

    def __init__(self, rows: ParquetRows, task: Task, places: _Places) -> None:
        self.notes: Counter[str] = Counter()
        self._places = places
        self._instructions, self._texts = rows.strings("qry_inst"), rows.strings("qry_text")
        self._images, self._target_instructions = rows.strings("qry_img_path"), rows.strings("tgt_inst")
        captions, images = rows.flat("tgt_text"), rows.flat("tgt_img_path")
        self._first_captions = [captions.values[each] for each in captions.index[rows.offsets[:-1]]]
        self._text_targets = task.target_modality == "text" or not any(images.values)
        # the public evaluator ends VisDial's queries with two newlines, as MMEB-eval does, and all others with one
        self._query_ending = "\n\n" if parse_name(task.name).dataset == "VisDial" else "\n"

    def query(self, row: int) -> Item:
        image = self._images[row]
        ending = "\n" if image else self._query_ending
        return self._item(join_query(self._instructions[row], self._texts[row], bool(image), ending), image)

    def context(self, row: int) -> _Context:
        if self._text_targets:
            return _Context()
        captioned = not is_blank(self._first_captions[row])
        return _Context(self._target_instructions[row], captioned, "\n" if captioned or not self._images[row] else "")

    def target(self, context: _Context, text: str, image: str) -> Item:
        if self._text_targets:
            return Item(place(text, False).text)
        caption = text if context.captioned else ""
        return self._item(join_target(context.instruction, caption, bool(image), context.ending), image)

    def _item(self, joined: JoinedText, image: str) -> Item:
        if joined.dropped_token:
            self.notes["tokens_without_media"] += 1
        return Item(joined.text, image_of(image, *self._places), joined.instruction)


class _Candidates(NamedTuple):
    targets: tuple[Item, ...]
    entries: IndexArray
    """The concatenated candidate lists of all rows, `(E,)`, as indexes of targets."""


def load_rows(files: Sequence[Path], task: Task, root: Path, roots: tuple[Path, ...] = ()) -> TaskData:
    """Reads the files of a task, whose image paths are relative to `root`. The first candidate is the right one.

    Images may lie in the folders `roots` too, behind links.

    A target is its text and its image path together. Targets are in the order in which they first appear.
    The notes count `tokens_without_media` and `media_without_token` over queries and distinct targets. They count
    `duplicate_candidates` (repeats within a list) and `empty_candidates` (neither text nor image) over lists, and
    `indexes_left_out` (pandas' index, which is no data) over files. Raises: UserError that names file and row.
    """
    rows = read(files)
    make = _Instruct if rows.layout == INSTRUCT else _Eval
    reader: _Reader = make(rows, task, _Places(root, roots))
    items = [_query(rows, reader, row) for row in range(len(rows.lengths))]
    candidates = _candidates(rows, reader)
    _count(rows, candidates, reader.notes)
    if rows.indexes_left_out:
        reader.notes["indexes_left_out"] = rows.indexes_left_out
    starts, ends = rows.offsets[:-1], rows.offsets[1:]
    return TaskData(
        queries=tuple(
            Query(str(row), item, candidates.entries[start:end], candidates.entries[start : start + 1])
            for row, (item, start, end) in enumerate(zip(items, starts, ends, strict=True))
        ),
        targets=candidates.targets,
        notes=MappingProxyType(dict(reader.notes)),
    )


def _query(rows: ParquetRows, reader: _Reader, row: int) -> Item:
    try:
        item = reader.query(row)
    except ValueError as error:
        raise _bad(rows, row, "query", error) from None
    if not item.full_text and not item.media:
        raise _bad(rows, row, "query", _EMPTY)
    return item


def _candidates(rows: ParquetRows, reader: _Reader) -> _Candidates:
    """Makes each distinct (context, text, image) once. The lists are arrays: they can have a million entries."""
    texts, images = rows.flat("tgt_text"), rows.flat("tgt_img_path")
    contexts: dict[_Context, int] = {}
    of_row = [contexts.setdefault(reader.context(row), len(contexts)) for row in range(len(rows.lengths))]
    sizes = (len(contexts), len(texts.values), len(images.values))
    keys = np.ravel_multi_index((np.repeat(of_row, rows.lengths), texts.index, images.index), sizes)
    coded = pa.array(keys).dictionary_encode()  # in the order of first appearance
    distinct = zip(*np.unravel_index(coded.dictionary.to_numpy(), sizes), strict=True)
    codes: NDArray[np.int32] = coded.indices.to_numpy()

    known = tuple(contexts)
    numbers: dict[Item, int] = {}
    number_of = np.empty(len(coded.dictionary), dtype=np.int32)
    for code, (context, text, image) in enumerate(distinct):
        try:
            item = reader.target(known[context], texts.values[text], images.values[image])
        except ValueError as error:
            raise _bad(rows, rows.row_of(int(np.argmax(codes == code))), "candidate", error) from None
        number_of[code] = numbers.setdefault(item, len(numbers))
    entries = number_of[codes]
    entries.flags.writeable = False  # every query has a view of it
    return _Candidates(tuple(numbers), entries)


def _count(rows: ParquetRows, candidates: _Candidates, notes: Counter[str]) -> None:
    """Counts repeats and empty candidates in `notes`. Raises UserError if a right candidate is empty."""
    lists = np.split(candidates.entries, rows.offsets[1:-1])
    if repeats := sum(each.size - np.count_nonzero(np.bincount(each)) for each in lists):
        notes["duplicate_candidates"] += int(repeats)
    empty = [number for number, item in enumerate(candidates.targets) if not item.full_text and not item.media]
    if empty:
        is_empty = np.isin(candidates.entries, empty)
        notes["empty_candidates"] += int(is_empty.sum())
        if (without := np.flatnonzero(is_empty[rows.offsets[:-1]])).size:
            raise _bad(rows, int(without[0]), "right candidate", _EMPTY)


def _bad(rows: ParquetRows, row: int, part: str, why: object) -> UserError:
    return UserError(f"{rows.where(row)}, {part}: {why}.", "Correct the data file.")
