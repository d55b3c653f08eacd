"""Results with their per-query scores, and imported scores, from folders and files. What cannot be used is named."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.results.files import Result, load_result
from leaderboards.exchange.files import SUFFIX, load_imported, row_of
from leaderboards.published.rows import PublishedRow

_HEAD = 512
"""Bytes in which a record says that it is one."""


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A result, where it lies, and its queries."""

    result: Result
    path: Path
    scores: NDArray[np.float32] | None = field(repr=False)
    """The main metric of each query, in the order of the data; None if the rows are not there or not its own."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was found, and what was wrong with the rest: a sentence each."""

    records: tuple[Record, ...]
    imported: tuple[PublishedRow, ...]
    """Rows of what `llave import` wrote."""
    warnings: tuple[str, ...]


def load(places: Sequence[Path]) -> Loaded:
    """Records and imported scores in files and folders, in the order of the places and their paths, each once.

    Raises UserError if nothing can be used.
    """
    warnings: list[str] = []
    results: dict[Path, Result] = {}
    imported: dict[Path, PublishedRow] = {}
    for path in dict.fromkeys(path for place in places for path in _candidates(place, warnings)):
        try:
            if path.name.endswith(SUFFIX):
                imported[path] = row_of(load_imported(path), path)
            else:
                results[path] = load_result(path)
        except UserError as error:
            warnings.append(f"{error.what} {error.hint}".rstrip())
    kept = _without_conflicts(results, warnings)
    records = [record for path, result in kept.items() if (record := _record(path, result, warnings))]
    if not records and not imported:
        what = "\n".join(warnings) or "No results were named."
        raise UserError(
            what,
            "Name what `llave run` or `llave import` wrote: runs/results, unless --out said otherwise.",
        )
    return Loaded(tuple(records), tuple(imported.values()), tuple(warnings))


def _candidates(place: Path, warnings: list[str]) -> list[Path]:
    """The files of a place that are records or imported scores, or were meant to be."""
    if not place.is_dir():
        return [place]
    found = sorted(path for path in place.rglob("*.json") if not path.name.startswith(".") and path.is_file())
    records = [path for path in found if _may_be_record(path)]
    if len(found) > len(records):
        other = next(path for path in found if path not in set(records))
        warnings.append(f"{place} has {len(found) - len(records)} other JSON files, such as {other.name}: passed over.")
    if not records:
        warnings.append(f"{place} holds no results.")
    return records


def _may_be_record(path: Path) -> bool:
    if path.name.endswith(SUFFIX):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return True  # reading it whole says what is wrong
    return not head.strip() or b'"format"' in head


def _without_conflicts(results: dict[Path, Result], warnings: list[str]) -> dict[Path, Result]:
    """Each identity once. Of several that claim it with different scores none can be believed."""
    claims: dict[str, list[Path]] = {}
    for path, result in results.items():
        claims.setdefault(result.identity, []).append(path)
    kept: dict[Path, Result] = {}
    for paths in claims.values():
        if all(results[path].metrics == results[paths[0]].metrics for path in paths):
            kept[paths[0]] = results[paths[0]]
            continue
        named = ", ".join(map(str, paths))
        warnings.append(f"{named} claim the same identity with different scores: none is shown. Run it again.")
    return kept


def _record(path: Path, result: Result, warnings: list[str]) -> Record | None:
    """The record with its queries' scores; None if it contradicts them."""
    if result.status != "done":
        warnings.append(f"{path} is not finished (status {result.status!r}): not shown.")
        return None
    try:
        scores = _scores(path, result)
    except (OSError, ValueError) as error:
        why = "are not there" if isinstance(error, FileNotFoundError) else "are not those it was written with"
        warnings.append(f"{path}: its per-query rows {why}, so it is not tested against others.")
        return Record(result, path, None)
    if abs(float(scores.mean(dtype=np.float64)) - result.main.value) > 1e-6 and result.main_metric != "median_rank":
        warnings.append(f"{path} was edited: its score is not that of its rows. Not shown. Run it again.")
        return None
    return Record(result, path, scores)


def stepped_aside(path: Path) -> bool:
    """Whether a record made way for the answer to another question, which has the plain name beside it."""
    stem, _, digest = path.stem.rpartition(".")
    return bool(re.fullmatch("[0-9a-f]{12}", digest)) and path.with_name(f"{stem}.json").exists()


def rows_path(path: Path, result: Result) -> Path:
    """Beside the record, whatever else an edited one may say."""
    return path.parent / Path(str(result.queries.get("file"))).name


def _scores(path: Path, result: Result) -> NDArray[np.float32]:
    """The main metric from the rows. Raises ValueError if they are not the ones that the record was written with.

    Rows are long, their first fields are what is needed, and no text can hold an unescaped `"key": `.
    """
    data = rows_path(path, result).read_bytes()
    if hashlib.sha256(data).hexdigest() != result.queries.get("sha256"):
        raise ValueError
    key = f'"{result.main_metric}": '.encode()
    starts = [(line, line.index(key) + len(key)) for line in data.split(b"\n") if line]
    scores = np.array([float(line[start : line.index(b",", start)]) for line, start in starts], dtype=np.float32)
    if len(scores) != result.num_queries or not len(scores) or not math.isfinite(float(scores.sum())):
        raise ValueError
    return scores
