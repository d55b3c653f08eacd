"""Rows of a table in any format: JSON Lines, Parquet, CSV, TSV, Arrow as `datasets` saves it, or a webdataset's tar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa

from harness.errors import shortened
from harness.files.parquet import read_schema, row_groups
from harness.files.reading import JSON_LINES, UnreadableFile, explain_reading, place_of, read_json, read_lines
from harness.files.tables import read_table
from tasks.corpus.shards import read_samples

ARROW, TAR = ".arrow", ".tar"
FORMATS = (*JSON_LINES, ".parquet", ".csv", ".tsv", ARROW, TAR)
"""Extensions of tables that have named columns, in lower or upper case."""
FILE_FORMATS = (*FORMATS, ".json")
"""Extensions of tables that are named as a file. In a folder of tables, a .json holds something about them."""
_BATCH = 256
_INDEX = "__index_level_"
"""How the names of columns begin that pandas adds for its index. They are no data."""


class Row(NamedTuple):
    """A row: its place for messages, and its values by column. A column may be missing in JSON Lines."""

    place: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RowTable:
    """The files of one table, in the order of their names. Rows are read one batch at a time."""

    files: tuple[Path, ...]
    renamed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Columns of one's own by the names that they are read under: `{"image": "pixel_file"}`."""

    @property
    def place(self) -> Path:
        """The first file, for messages."""
        return self.files[0]

    @property
    def content(self) -> str:
        """What decides the rows beside the files."""
        return str(sorted(self.renamed.items()))

    def rows(self) -> Iterator[Row]:
        """Reads all rows. Raises: UnreadableFile that names file and place."""
        for file in self.files:
            for row in _READERS[file.suffix.lower()](file):
                fields = {key: value for key, value in row.fields.items() if not key.startswith(_INDEX)}
                yield Row(row.place, self._named(row.place, fields))

    def with_columns(self, renamed: Mapping[str, str]) -> RowTable:
        """Returns the table with other names for those of the columns that its first row has."""
        first = next(self.rows(), Row("", {})).fields
        found = {name: column for name, column in renamed.items() if column in first}
        return replace(self, renamed=MappingProxyType(found))

    def _named(self, place: str, fields: dict[str, object]) -> Mapping[str, object]:
        """The fields with the names that they are read under."""
        if not self.renamed:
            return fields
        missing = [column for column in self.renamed.values() if column not in fields]
        if missing:
            has = ", ".join(fields)
            raise UnreadableFile(f"{place}: there is no column {missing[0]!r}.", f"Its columns: {has}. See --columns.")
        given = set(self.renamed.values())
        others = {key: value for key, value in fields.items() if key not in given and key not in self.renamed}
        return {**others, **{name: fields[column] for name, column in self.renamed.items()}}


def _lines(path: Path) -> Iterator[Row]:
    for number, line in read_lines(path):
        yield Row(place_of(path, number), line)


def _cells(path: Path) -> Iterator[Row]:
    lines = read_table(path)
    header = next(lines, None)
    if header is None:
        return
    names = header[1]
    for number, cells in lines:
        if len(cells) != len(names):
            what = f"{place_of(path, number)}: it has {len(cells)} cells, and the header has {len(names)}."
            raise UnreadableFile(what, "Quote cells that hold the delimiter.")
        yield Row(place_of(path, number), dict(zip(names, cells, strict=True)))


def _groups(path: Path) -> Iterator[Row]:
    read_schema(path)
    return _batches(path, (batch for table in row_groups(path) for batch in table.to_batches(_BATCH)))


def _saved(path: Path) -> Iterator[Row]:
    from datasets import Dataset

    with explain_reading(path, "an Arrow file"):
        table = Dataset.from_file(str(path)).with_format("arrow")
        parts = [range(start, min(start + _BATCH, len(table))) for start in range(0, len(table), _BATCH)]
    return _batches(path, (batch for part in parts for batch in table[part].to_batches()))


def _batches(path: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[Row]:
    number = 0
    while True:
        with explain_reading(path, "a whole table"):
            batch = next(batches, None)
            rows = [] if batch is None else batch.to_pylist()
        if batch is None:
            return
        for fields in rows:
            yield Row(f"{path}, row {number:,}", fields)
            number += 1


def _array(path: Path) -> Iterator[Row]:
    """The objects of a JSON array."""
    value = read_json(path)
    if not isinstance(value, list):
        raise UnreadableFile(f"{path} holds no JSON array.", "Write an array of objects, or JSON Lines.")
    for number, each in enumerate(value):
        if not isinstance(each, dict):
            raise UnreadableFile(f"{path}, row {number:,}: it is no JSON object.", "Write an array of objects.")
        yield Row(f"{path}, row {number:,}", each)


def _samples(path: Path) -> Iterator[Row]:
    for sample in read_samples(path):
        yield Row(f"{path}, sample {shortened(str(sample['id']))}", sample)


_READERS = {
    **dict.fromkeys(JSON_LINES, _lines),
    ".json": _array,
    ".parquet": _groups,
    ".csv": _cells,
    ".tsv": _cells,
    ARROW: _saved,
    TAR: _samples,
}
