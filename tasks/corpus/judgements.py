"""Judgements of relevance ("qrels"): which target is how relevant to which query.

A table has columns for query, target and grade, by one of the names that datasets use. A file without a header is in
TREC's format, `query iteration target grade`. M-BEIR adds a fifth column. Without a grade, a judgement means 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from harness.errors import UserError, shortened
from harness.files.reading import UnreadableFile, place_of, read_text
from tasks.corpus.tables import FORMATS, Row, RowTable

QUERY_KEYS = ("query-id", "query_id", "qid", "query")
TARGET_KEYS = ("corpus-id", "corpus_id", "did", "docid", "doc-id", "doc_id")
GRADE_KEYS = ("score", "relevance", "rel", "grade")
_TREC_COLUMNS = {3: (0, 1, 2), 4: (0, 2, 3), 5: (0, 2, 3)}
"""Places of query, target and grade in a line without a header, by the number of its cells."""
_HINT = "A judgement names a query, a target and a whole number as grade."


@dataclass(slots=True)
class Judgements:
    """The grades of targets by query. Grades of 0 and below are judgements too, and mean that a target is wrong."""

    grades: dict[str, dict[str, int]] = field(default_factory=dict)
    repeated: int = 0
    """Number of judgements that were there before, with the same grade or with another one that `highest` allows."""
    highest: bool = False
    """Whether the highest grade of a pair counts. Otherwise two grades of one pair are an error."""

    def add(self, place: str, query: str, target: str, grade: int) -> None:
        """Adds a judgement. Raises: UserError if the same pair was judged differently before."""
        known = self.grades.setdefault(query, {})
        if target not in known:
            known[target] = grade
        elif known[target] == grade or self.highest:
            self.repeated += 1
            known[target] = max(grade, known[target])
        else:
            pair = f"query {shortened(query)} and target {shortened(target)}"
            what = f"{place}: {pair} have the grade {grade} here and {known[target]} before."
            raise UserError(what, "Keep one of the two judgements.")


def read_judgements(
    files: Sequence[Path], *, highest: bool = False, queries: Callable[[], Sequence[str]] = tuple
) -> Judgements:
    """Reads judgements from tables or TREC files. Raises: UserError that names file and line.

    With `highest` a pair may have several grades, of which the highest counts. `queries` returns the ids of the queries
    in order. It is called for rows whose query is null: row i then judges query i, as in wikiHow-TIIR.
    """
    found, names = Judgements(highest=highest), cache(queries)
    for file in files:
        for number, row in enumerate(RowTable((file,)).rows() if _has_header(file) else _trec_rows(file)):
            named = not any(key in row.fields and row.fields[key] is None for key in QUERY_KEYS)
            query = identifier(row, QUERY_KEYS) if named else _in_order(row, number, names())
            found.add(row.place, query, identifier(row, TARGET_KEYS), _grade(row))
    return found


def _in_order(row: Row, number: int, queries: Sequence[str]) -> str:
    if number >= len(queries):
        what = f"{row.place}: the query is null, and there is no query number {number}."
        raise UserError(what, "A judgement without an id belongs to the query in the same row.")
    return queries[number]


def identifier(row: Row, keys: Sequence[str]) -> str:
    """Returns the id under the first of the keys that the row has. Whole numbers become text.

    Raises: UserError if there is none, or if it is of another kind: a float such as 12.0 comes from a table with gaps.
    """
    key = next((key for key in keys if key in row.fields), None)
    if key is None:
        raise UserError(f"{row.place}: there is no id: none of {', '.join(keys)}.", _HINT)
    value = row.fields[key]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise UserError(
            f"{row.place}: {key} is {shortened(repr(value))}, which is no id.", "Write ids as text or as whole numbers."
        )
    return value


def _grade(row: Row) -> int:
    key = next((key for key in GRADE_KEYS if key in row.fields), None)
    value = 1 if key is None else row.fields[key]
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not number.is_integer() or abs(number) > 1000:
        raise UserError(f"{row.place}: the grade is {shortened(repr(value))}, which is no whole number.", _HINT)
    return int(number)


def _has_header(file: Path) -> bool:
    """Whether a file is a table with named columns. Files of other kinds, and those without known names, are TREC's."""
    suffix = file.suffix.lower()
    if suffix in FORMATS and suffix not in (".tsv", ".csv"):
        return True
    first = next(iter(read_text(file).splitlines()), "")
    cells = {cell.strip().strip('"') for cell in first.replace(",", "\t").split("\t")}
    return suffix in FORMATS and bool(cells & {*QUERY_KEYS, *TARGET_KEYS})


def _trec_rows(file: Path) -> Iterator[Row]:
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        places = _TREC_COLUMNS.get(len(cells))
        if places is None:
            what = f"{place_of(file, number)}: it has {len(cells)} cells, but a line is QUERY 0 TARGET GRADE."
            raise UnreadableFile(what, "If the file has a header, its columns are query-id, corpus-id and score.")
        query, target, grade = (cells[place] for place in places)
        fields: Mapping[str, object] = {"query-id": query, "corpus-id": target, "score": grade}
        yield Row(place_of(file, number), fields)
