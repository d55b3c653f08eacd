"""Rows of MMEB-V2's video tasks, with checked columns. Messages name the file and the row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.files.reading import read_json
from harness.types import MEDIA_TOKEN
from tasks.corpus.tables import RowTable

FORMATS = (".jsonl", ".json", ".parquet")
"""Extensions of files of rows, in the order in which they are looked for."""
_HINT = "Fetch the file again."


@dataclass(frozen=True, slots=True)
class V2Row:
    """A row of a file."""

    place: str
    fields: Mapping[str, object]

    def value(self, column: str) -> object:
        """The value of a column. Raises: UserError if the row has no such column."""
        if column not in self.fields:
            raise UserError(f"{self.place}: there is no column {column}.", f"It has {', '.join(self.fields)}.")
        return self.fields[column]

    def text(self, column: str) -> str:
        """A text that is not blank. A whole number is a text too. Raises: UserError for anything else."""
        value = self.value(column)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or not value.strip():
            raise self.bad(f"{column} is not a text, but {value!r:.80}")
        return self._without_token(column, value)

    def texts(self, column: str) -> list[str]:
        """A list of texts. Raises: UserError for anything else, and for an empty list."""
        value = self.value(column)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            raise self.bad(f"{column} is not a list of texts, but {value!r:.80}")
        return [self._without_token(column, each) for each in value]

    def pick(self, column: str, options: Sequence[str]) -> int:
        """A number of an option, from 0, also if it is written as a text. Raises: UserError for anything else."""
        text = self.text(column)
        if not text.isdigit() or int(text) >= len(options):
            raise self.bad(f"{column} is {text!r}, which is none of the {len(options)} options from 0")
        return int(text)

    def _without_token(self, column: str, text: str) -> str:
        if MEDIA_TOKEN in text:
            raise self.bad(f"{column} holds {MEDIA_TOKEN}, which is reserved")
        return text

    def bad(self, why: str) -> UserError:
        """The error of this row."""
        return UserError(f"{self.place}: {why}.", _HINT)


def rows_of(path: Path) -> Iterator[V2Row]:
    """Reads the rows of a JSON Lines, JSON or Parquet file. Raises: UserError that names file and row."""
    if path.suffix.lower() != ".json":
        yield from (V2Row(row.place, row.fields) for row in RowTable((path,)).rows())
        return
    content = read_json(path)
    if not isinstance(content, list):
        raise UserError(f"{path} holds no list of rows.", _HINT)
    for number, fields in enumerate(content):
        place = f"{path}, row {number:,} (the first is row 0)"
        if not isinstance(fields, dict):
            raise UserError(f"{place} is not an object with columns.", _HINT)
        yield V2Row(place, fields)
