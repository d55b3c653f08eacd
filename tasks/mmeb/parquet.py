"""Reads Parquet files in the layouts of MMEB, and checks columns, types, nulls and list lengths.

Errors name the file and the row. What pandas and the datasets library write is taken as it is. `columns` has
the types, and an index of pandas is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.errors import UserError
from harness.files.parquet import read_schema, row_groups
from tasks.mmeb.columns import (
    CodedStrings,
    UnusableEntry,
    element_of,
    images_of,
    is_image,
    is_text,
    joined,
    lengths_of,
    texts_of,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a kind of file."""

    name: str
    texts: tuple[str, ...]
    """Names of the columns of strings."""
    lists: tuple[str, ...]
    """Names of the columns of lists of strings. The lists of a row have one length."""
    optional: tuple[str, ...] = ()
    """Names of columns that may be absent, or null in a row. They are then read as empty strings."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""
        return self.texts + self.lists


MMEB_EVAL = Layout("MMEB-eval", ("qry_text", "qry_img_path"), ("tgt_text", "tgt_img_path"))
INSTRUCT = Layout(
    "MMEB_Test_Instruct",
    ("qry_inst", "qry_text", "qry_img_path", "tgt_inst"),
    ("tgt_text", "tgt_img_path"),
    optional=("qry_img_path", "tgt_inst", "tgt_img_path"),  # the public parsers read only what their datasets have
)

IMAGES = ("qry_img_path", "tgt_img_path")
"""Names of the columns of images, in both layouts."""
_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls its index in a file, where it has no name. It is no data."""


@dataclass(frozen=True, slots=True, eq=False)
class RowGroup:
    """A row group of a file, as strings."""

    file: Path
    first: int
    """The number of its first row in the file."""
    lengths: NDArray[np.int64]
    """Number of candidates of each row, `(N,)`."""
    columns: Mapping[str, CodedStrings]
    """The columns by name. Lists are concatenated."""


@dataclass(frozen=True, slots=True, eq=False)
class ParquetRows:
    """The rows of a dataset, over all of its files in order."""

    layout: Layout
    parts: tuple[RowGroup, ...]
    lengths: NDArray[np.int64]
    """Number of candidates of each row, `(N,)`."""
    indexes_left_out: int = 0
    """Number of files whose column of pandas' index was left out."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each row's candidates begin in a `flat` column, and where the last ones end, `(N + 1,)`."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    def strings(self, column: str) -> list[str]:
        """A column of strings, one for each row. An absent column has empty strings."""
        if column not in self.parts[0].columns:
            return [""] * len(self.lengths)
        return [text for part in self.parts for text in part.columns[column].to_list()]

    def flat(self, column: str) -> CodedStrings:
        """A column of lists, with all lists concatenated. An absent column has empty strings."""
        if column not in self.parts[0].columns:
            return CodedStrings([""], np.zeros(int(self.lengths.sum()), dtype=np.int64))
        return joined(part.columns[column] for part in self.parts)

    def row_of(self, entry: int) -> int:
        """The row to which an entry of a `flat` column belongs."""
        return int(np.searchsorted(self.offsets, entry, side="right")) - 1

    def where(self, row: int) -> str:
        """Names a row for a message: its file, and its number in the file, from 0."""
        starts = np.cumsum([0] + [len(part.lengths) for part in self.parts])
        number = int(np.searchsorted(starts, row, side="right")) - 1
        part = self.parts[number]
        return _where(part.file, part.first + row - int(starts[number]))


def layout_of(file: Path) -> Layout:
    """The layout of a file. Raises: UserError for missing or extra columns, and for columns of another type."""
    schema = read_schema(file)
    found = tuple(name for name in schema.names if not _INDEX.fullmatch(name))
    layout = INSTRUCT if "qry_inst" in found else MMEB_EVAL
    missing = [name for name in layout.columns if name not in found and name not in layout.optional]
    extra = [name for name in found if name not in layout.columns]
    if missing or extra:
        faults = [f"lacks {' and '.join(missing)}"] if missing else []
        faults += [f"has {' and '.join(extra)}, which no layout has"] if extra else []
        raise _no_layout(file, schema) or UserError(
            f"{file}: wrong columns. It {', and '.join(faults)}.",
            f"Its columns are {', '.join(found)}. {_guess(found, layout)}",
        )
    for name in found:
        kind = schema.field(name).type
        element = element_of(kind) if name in layout.lists else kind
        if element is None or not (is_image if name in IMAGES else is_text)(element):
            wanted = "images, as paths or {bytes, path}" if name in IMAGES else "strings"
            wanted = f"lists of {wanted}" if name in layout.lists else wanted
            raise UserError(f"{file}: column {name} must hold {wanted}, but holds {kind}.", "Write the file again.")
    return layout


def read(files: Sequence[Path]) -> ParquetRows:
    """Reads and checks files of one layout. Distinct strings are kept once, although lists repeat them.

    Raises: UserError that names file and row.
    """
    layouts = [layout_of(file) for file in files]
    for file, layout in zip(files, layouts, strict=True):
        if layout != layouts[0]:
            raise UserError(
                f"{file} has the {layout.name} layout, but {files[0]} has {layouts[0].name}.",
                "All files of a subset must have one layout.",
            )
    parts = tuple(part for file in files for part in _parts(file, layouts[0]))
    if not parts:
        raise UserError(f"{files[0]} has no rows.", "Fetch or write the file again.")
    names = {name for part in parts for name in part.columns}
    for part in parts:
        if absent := sorted(names - part.columns.keys()):
            what = f"{part.file} lacks {' and '.join(absent)}, which other files of the subset have."
            raise UserError(what, "All files of a subset must have the same columns.")
    lengths = np.concatenate([part.lengths for part in parts])
    left_out = sum(any(map(_INDEX.fullmatch, read_schema(file).names)) for file in files)
    return ParquetRows(layouts[0], parts, lengths, left_out)


def _guess(found: tuple[str, ...], layout: Layout) -> str:
    if "pos_text" in found:
        return "This looks like MMEB-train, whose files are for training and cannot be evaluated on."
    return f"This looks like the {layout.name} layout, whose columns are {', '.join(layout.columns)}."


def _no_layout(file: Path, schema: pa.Schema) -> UserError | None:
    """The error for a file of images with labels or captions, as they are on the hub; None for any other file."""
    images = [name for name, kind in zip(schema.names, schema.types, strict=True) if pa.types.is_struct(kind)]
    images = [name for name in images if is_image(schema.field(name).type)]
    if not images or any(name.startswith(("qry_", "tgt_", "pos_")) for name in schema.names):
        return None
    others = " and ".join(name for name in schema.names if name not in images)
    return UserError(
        f"{file} is from an image dataset of the Hugging Face hub: it has {' and '.join(images)} with {others}. "
        "It does not say what is a query and what its candidates are.",
        "Write the images as files, and a JSON Lines file with a target for each label or caption and a query for each "
        "image: docs/walkthroughs.md has the code. Then use --data FILE.jsonl.",
    )


def _parts(file: Path, layout: Layout) -> Iterator[RowGroup]:
    """The row groups of a file that have rows. pyarrow cannot concatenate the encoded lists of several."""
    names = [name for name in read_schema(file).names if name in layout.columns]
    first = 0
    for table in row_groups(file, names, encoded=layout.lists):
        if table.num_rows:
            yield _part(file, first, table, layout)
        first += table.num_rows


def _part(file: Path, first: int, table: pa.Table, layout: Layout) -> RowGroup:
    """A row group as strings. Raises: UserError for nulls in texts, and for lists of different lengths."""

    def refuse(rows: NDArray[np.int64], why: str) -> None:
        if rows.size:
            hint = "Correct the data file. Where there is no text, write an empty string."
            raise UserError(f"{_where(file, first + int(rows[0]))}: {why}.", hint)

    lengths = {name: lengths_of(table[name]) for name in layout.lists if name in table.column_names}
    counts = lengths[layout.lists[0]]
    for name, found in lengths.items():
        unlike = (found != counts) & ((found > 0) | (name not in IMAGES))  # no list of images: there are none
        refuse(np.flatnonzero(unlike), f"the lists of {layout.lists[0]} and {name} differ in length")
    refuse(np.flatnonzero(counts == 0), "the candidate list is empty")
    columns = {}
    for name in table.column_names:
        values = pc.list_flatten(table[name]) if name in lengths else table[name]
        read_column = images_of if name in IMAGES else partial(texts_of, null_is_empty=name in layout.optional)
        try:
            columns[name] = read_column(values)
        except UnusableEntry as error:
            of_entry = np.repeat(np.arange(table.num_rows), lengths.get(name, 1))
            refuse(of_entry[[error.entry]], f"{name}: {error.why}")
        if name in lengths:
            columns[name] = _spread(columns[name], lengths[name] > 0, counts)
    return RowGroup(file, first, counts, columns)


def _spread(strings: CodedStrings, given: NDArray[np.bool_], counts: NDArray[np.int64]) -> CodedStrings:
    """The strings of all candidates, with empty strings for the rows that have no list. `given`, `counts`: `(N,)`."""
    index = np.full(int(counts.sum()), len(strings.values), dtype=np.int64)
    index[np.repeat(given, counts)] = strings.index
    return CodedStrings([*strings.values, ""], index)


def _where(file: Path, row: int) -> str:
    return f"{file}, row {row} (the first is row 0)"
