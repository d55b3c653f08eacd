"""Reads tables of text: CSV and TSV. What is wrong with a file becomes one message with file and line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from harness.files.reading import bad_line, read_text, reason
from harness.files.strict_json import check_strings

_DELIMITERS = {".tsv": "\t"}


def read_table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Reads the rows of a table with the numbers of their last lines, from 1. Rows without text are skipped.

    The extension `.tsv` means tabs between cells, any other commas. Raises: UnreadableFile that names the line.
    """
    text = io.StringIO(read_text(path), newline="")
    rows = csv.reader(text, delimiter=_DELIMITERS.get(path.suffix.lower(), ","), strict=True)
    while True:
        try:
            row = next(rows, None)
            check_strings(row)
        except (csv.Error, ValueError) as error:
            raise bad_line(path, rows.line_num, reason(error)) from None
        if row is None:
            return
        if any(cell.strip() for cell in row):
            yield rows.line_num, row
