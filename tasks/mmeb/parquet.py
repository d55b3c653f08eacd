"""Reads Parquet files in the layouts of MMEB, and checks columns, types, nulls and list lengths.

Errors name the file and the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.errors import UserError


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a kind of file."""

    name: str
    texts: tuple[str, ...]
    """Names of the columns of strings."""
    lists: tuple[str, ...]
    """Names of the columns of lists of strings. The lists of a row have one length."""
    optional: tuple[str, ...] = ()
    """Names of columns that may be absent. An absent column is read as empty strings."""

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


@dataclass(frozen=True, slots=True, eq=False)
class CodedStrings:
    """Strings as indexes into the distinct ones: string i is `values[index[i]]`."""

    values: list[str]
    index: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RowGroup:
    """A row group of a file."""

    file: Path
    first: int
    """The number of its first row in the file."""
    table: pa.Table

    def where(self, row: int) -> str:
        """Names a row of this group for a message: its file, and its number in the file, from 0."""
        return f"{self.file}, row {self.first + row} (the first is row 0)"


@dataclass(frozen=True, slots=True, eq=False)
class ParquetRows:
    """The rows of a dataset, over all of its files in order."""

    layout: Layout
    parts: tuple[RowGroup, ...]
    lengths: NDArray[np.int64]
    """Number of candidates of each row, `(N,)`."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each row's candidates begin in a `flat` column, and where the last ones end, `(N + 1,)`."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    def strings(self, column: str) -> list[str]:
        """A column of strings, one for each row. An absent column has empty strings."""
        if column not in self.parts[0].table.column_names:
            return [""] * len(self.lengths)
        return [text for part in self.parts for text in part.table[column].fill_null("").to_pylist()]

    def flat(self, column: str) -> CodedStrings:
        """A column of lists, with all lists concatenated. An absent column has empty strings."""
        if column not in self.parts[0].table.column_names:
            return CodedStrings([""], np.zeros(int(self.lengths.sum()), dtype=np.int64))
        numbers: dict[str, int] = {}
        indexes = []
        for part in self.parts:
            for chunk in pc.list_flatten(part.table[column]).chunks:
                number_of = [numbers.setdefault(text, len(numbers)) for text in chunk.dictionary.to_pylist()]
                indexes.append(np.asarray(number_of, dtype=np.int64)[chunk.indices.to_numpy(zero_copy_only=False)])
        return CodedStrings(list(numbers), np.concatenate(indexes))

    def row_of(self, entry: int) -> int:
        """The row to which an entry of a `flat` column belongs."""
        return int(np.searchsorted(self.offsets, entry, side="right")) - 1

    def where(self, row: int) -> str:
        """Names a row for a message: its file, and its number in the file, from 0."""
        starts = np.cumsum([0] + [part.table.num_rows for part in self.parts])
        number = int(np.searchsorted(starts, row, side="right")) - 1
        return self.parts[number].where(row - int(starts[number]))


def count_rows(files: Sequence[Path]) -> int:
    """Number of rows in all files together, read from their footers."""
    return sum(_open(file).metadata.num_rows for file in files)


def layout_of(file: Path) -> Layout:
    """The layout of a file. Raises UserError for missing or extra columns, and for columns of another type."""
    schema = _open(file).schema_arrow
    found = tuple(schema.names)
    layout = INSTRUCT if "qry_inst" in found else MMEB_EVAL
    missing = [name for name in layout.columns if name not in found and name not in layout.optional]
    extra = [name for name in found if name not in layout.columns]
    if missing or extra:
        faults = [f"lacks {' and '.join(missing)}"] if missing else []
        faults += [f"has {' and '.join(extra)}, which no layout has"] if extra else []
        raise UserError(
            f"{file}: wrong columns. It {', and '.join(faults)}.",
            f"Its columns are {', '.join(found)}. {_guess(found, layout)}",
        )
    for name in found:
        kind = schema.field(name).type
        if not (_is_list(kind) and _is_text(kind.value_type) if name in layout.lists else _is_text(kind)):
            wanted = "lists of strings" if name in layout.lists else "strings"
            raise UserError(f"{file}: column {name} must hold {wanted}, but holds {kind}.", "Write the file again.")
    return layout


def read(files: Sequence[Path]) -> ParquetRows:
    """Reads and checks files of one layout. Distinct strings are kept once, although lists repeat them.

    Raises UserError that names file and row.
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
    lengths = np.concatenate([_checked_lengths(part, layouts[0]) for part in parts])
    return ParquetRows(layouts[0], parts, lengths)


def _guess(found: tuple[str, ...], layout: Layout) -> str:
    if "pos_text" in found:
        return "This looks like MMEB-train, whose files are for training and cannot be evaluated on."
    return f"This looks like the {layout.name} layout, whose columns are {', '.join(layout.columns)}."


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        _unreadable(file, error)


def _parts(file: Path, layout: Layout) -> Iterator[RowGroup]:
    """The row groups of a file. pyarrow cannot concatenate the encoded lists of several."""
    leaves = _open(file).schema
    paths = [leaves.column(number).path for number in range(len(leaves))]
    # a string in a list is an index into the distinct ones: far less memory, and no limit of 2 GB of text
    encoded = [path for path in paths if path.partition(".")[0] in layout.lists]
    first = 0
    try:
        reader = pq.ParquetFile(file, read_dictionary=encoded)
        for number in range(reader.num_row_groups):
            table = reader.read_row_group(number)
            table.validate(full=True)  # text that is not UTF-8
            if table.num_rows:
                yield RowGroup(file, first, table)
            first += table.num_rows
    except (pa.ArrowException, OSError) as error:
        _unreadable(file, error)


def _checked_lengths(part: RowGroup, layout: Layout) -> NDArray[np.int64]:
    """Number of candidates of each row. Raises UserError for nulls, and for lists of different lengths."""
    lengths: dict[str, NDArray[np.int64]] = {}
    for name in part.table.column_names:
        column = part.table[name]
        if name in layout.lists or name not in layout.optional:
            _refuse(part, np.flatnonzero(column.is_null()), f"{name} is null")
        if name in layout.lists:
            lengths[name] = pc.list_value_length(column).to_numpy().astype(np.int64)
            of_row = np.repeat(np.arange(len(column)), lengths[name])
            _refuse(part, of_row[pc.list_flatten(column).is_null().to_numpy()], f"{name} holds a null")
    first = lengths[layout.lists[0]]
    for name, other in lengths.items():
        _refuse(part, np.flatnonzero(other != first), f"the lists of {layout.lists[0]} and {name} differ in length")
    _refuse(part, np.flatnonzero(first == 0), "the candidate list is empty")
    return first


def _refuse(part: RowGroup, rows: NDArray[np.int64], what: str) -> None:
    if rows.size:
        raise UserError(f"{part.where(int(rows[0]))}: {what}.", "Correct the data file.")


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _unreadable(file: Path, error: Exception) -> NoReturn:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise UserError(f"{file} cannot be read as Parquet: {reason}", "Fetch or write the file again.") from None
