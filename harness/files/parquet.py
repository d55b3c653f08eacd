"""Reads Parquet files. What is wrong with a file becomes one message that names it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.files.reading import UnreadableFile, explain_reading
from harness.files.strict_json import check_strings

_KIND, _HINT = "a whole Parquet file", "It may be damaged. Fetch or write it again."


def read_schema(path: Path) -> pa.Schema:
    """Reads the names and types of the columns. Raises: UnreadableFile, also for a name that is there twice."""
    with explain_reading(path, _KIND, _HINT):
        schema = pq.read_schema(path)
        names = list(schema.names)
        check_strings(names)
        [str(kind) for kind in schema.types]  # the names inside may not be UTF-8
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise UnreadableFile(f"{path} has two columns named {twice}.", "Rename or remove one.")
    return schema


def count_rows(files: Sequence[Path]) -> int:
    """Counts the rows of all files together, from their footers. Raises: UnreadableFile."""
    return sum(_count(file) for file in files)


def _count(path: Path) -> int:
    with explain_reading(path, _KIND, _HINT):
        return int(pq.read_metadata(path).num_rows)


def row_groups(path: Path, columns: Sequence[str] | None = None, encoded: Collection[str] = ()) -> Iterator[pa.Table]:
    """Reads a file part by part, and checks that its texts are UTF-8.

    Args:
        path: the file.
        columns: names of the columns that are read. None: all.
        encoded: columns whose strings are read as indexes into the distinct ones, also inside of lists. That takes far
            less memory, and has no limit of 2 GB of text.

    Raises:
        UnreadableFile: for anything that cannot be read.
    """
    read_schema(path)
    with explain_reading(path, _KIND, _HINT):
        file = pq.ParquetFile(path, read_dictionary=_leaves(path, encoded))
    with file:
        for number in range(file.num_row_groups):
            with explain_reading(path, _KIND, _HINT):
                table = file.read_row_group(number, columns=columns)
                table.validate(full=True)
            yield table


def read_rows(path: Path) -> list[dict[str, object]]:
    """Reads all rows as dictionaries by column. Raises: UnreadableFile."""
    rows: list[dict[str, object]] = []
    for table in row_groups(path):
        with explain_reading(path, _KIND, _HINT):
            rows += table.to_pylist()
    return rows


def _leaves(path: Path, columns: Collection[str]) -> list[str]:
    """The paths of the values of columns, as Parquet calls them: `tgt_text.list.element`, for example."""
    schema = pq.read_metadata(path).schema
    paths = [schema.column(number).path for number in range(len(schema))]
    return [each for each in paths if each.partition(".")[0] in columns]
