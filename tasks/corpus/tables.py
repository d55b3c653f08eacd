"""Rows of a table, whatever its format: JSON Lines, Parquet, CSV, TSV, or Arrow as the library `datasets` saves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from harness.files.parquet import read_schema, row_groups
from harness.files.reading import JSON_LINES, UnreadableFile, explain_reading, place_of, read_lines
from harness.files.tables import read_table

ARROW = ".arrow"
FORMATS = (*JSON_LINES, ".parquet", ".csv", ".tsv", ARROW)
"""Extensions of tables that have named columns, in lower or upper case."""
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

    def rows(self) -> Iterator[Row]:
        """Reads all rows. Raises: UnreadableFile that names file and place."""
        for file in self.files:
            for row in _READERS[file.suffix.lower()](file):
                yield Row(row.place, {key: value for key, value in row.fields.items() if not key.startswith(_INDEX)})


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


_READERS = {
    **dict.fromkeys(JSON_LINES, _lines),
    ".parquet": _groups,
    ".csv": _cells,
    ".tsv": _cells,
    ARROW: _saved,
}
