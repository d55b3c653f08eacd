"""Reads results with their per-query scores, and imported scores, from folders and files."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UnknownName, UserError
from harness.results.files import Result, load_result
from harness.scoring.intervals import Clusters, Floats, SampleMean
from leaderboards.exchange.files import SUFFIX, load_imported, row_of
from leaderboards.published.rows import PublishedRow

_HEAD = 512
"""Number of bytes at the start of a file in which a record names its format."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """The main metric of each query, in the order of the data."""

    scores: Floats
    """`(queries,)`. A score of tied candidates is an expectation."""
    tied: NDArray[np.bool_]
    """Whether the order of tied candidates leaves the outcome open, `(queries,)`."""
    clusters: Clusters | None
    """The cluster of each query, `(queries,)`. None: all queries are unrelated."""

    @property
    def open(self) -> Floats:
        """The variance of each query's outcome over random orders of tied candidates, `(queries,)`."""
        variances: Floats = np.where(self.tied, self.scores * (1 - self.scores), 0.0).clip(0.0)
        return variances

    @property
    def sample(self) -> SampleMean:
        """The mean with its variance."""
        return SampleMean.of(self.scores, self.tied, self.clusters)


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A result, the path of its file, and the outcomes of its queries."""

    result: Result
    path: Path
    outcomes: Outcomes | None = field(repr=False)
    """None if its rows are missing or changed."""
    sample: SampleMean = field(init=False, repr=False)
    """The main score as a mean over queries. It means nothing for a metric that is a rank."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample", self._sample())

    def _sample(self) -> SampleMean:
        if self.outcomes is not None:
            return self.outcomes.sample
        return SampleMean.of_count(self.result.main.value, self.result.num_queries)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read from files, and a warning for each file that cannot be used."""

    records: tuple[Record, ...]
    imported: tuple[PublishedRow, ...]
    """Rows from the files that `llave import` wrote."""
    warnings: tuple[str, ...]


def load(places: Sequence[Path]) -> Loaded:
    """Reads all results and imported scores in the given files and folders.

    They come in the order of `places`, within a folder by path, each file once.

    Raises: UserError if nothing can be used.
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
        what = "\n".join(warnings) or "No results were given."
        absent = next((place for place in places if not place.exists()), places[0] if places else Path())
        where = "Give a file or folder that `llave run` or `llave import` wrote, such as runs/results."
        raise UnknownName("results", str(absent), what, where)
    return Loaded(tuple(records), tuple(imported.values()), tuple(warnings))


def holds_results(place: Path) -> bool:
    """Whether a place is a file, or a folder that holds results or imported scores."""
    return place.is_file() or (place.is_dir() and bool(_candidates(place, [])))


def _candidates(place: Path, warnings: list[str]) -> list[Path]:
    """The files of a place that are, or look like, results or imported scores."""
    if not place.is_dir():
        return [place]
    found = sorted(path for path in place.rglob("*.json") if not path.name.startswith(".") and path.is_file())
    records = [path for path in found if _may_be_record(path)]
    if len(found) > len(records):
        other = next(path for path in found if path not in set(records))
        warnings.append(f"{place} has {len(found) - len(records)} other JSON files, such as {other.name}: ignored.")
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
        return True  # reading the whole file reports the error
    return not head.strip() or b'"format"' in head


def _without_conflicts(results: dict[Path, Result], warnings: list[str]) -> dict[Path, Result]:
    """Each identity once. Files that claim one identity with different scores are all left out."""
    claims: dict[str, list[Path]] = {}
    for path, result in results.items():
        claims.setdefault(result.identity, []).append(path)
    kept: dict[Path, Result] = {}
    for paths in claims.values():
        if all(results[path].metrics == results[paths[0]].metrics for path in paths):
            kept[paths[0]] = results[paths[0]]
            continue
        named = ", ".join(map(str, paths))
        warnings.append(f"{named} have the same identity but different scores, so none is shown. Run them again.")
    return kept


def _record(path: Path, result: Result, warnings: list[str]) -> Record | None:
    """The record with the outcomes of its queries. None if the two contradict each other."""
    if result.status != "done":
        warnings.append(f"{path} is not finished (status {result.status!r}), so it is not shown.")
        return None
    try:
        outcomes = _outcomes(path, result)
    except (OSError, ValueError) as error:
        why = "are missing" if isinstance(error, FileNotFoundError) else "were changed"
        warnings.append(f"{path}: its per-query rows {why}, so no paired test uses it.")
        return Record(result, path, None)
    if abs(float(outcomes.scores.mean()) - result.main.value) > 1e-6 and result.main_metric != "median_rank":
        warnings.append(f"{path} is not shown: its score is not the mean of its rows. Run the evaluation again.")
        return None
    return Record(result, path, outcomes)


def was_renamed(path: Path) -> bool:
    """Whether the file was renamed when a result with other settings took its plain name."""
    stem, _, digest = path.stem.rpartition(".")
    return bool(re.fullmatch("[0-9a-f]{12}", digest)) and path.with_name(f"{stem}.json").exists()


def rows_path(path: Path, result: Result) -> Path:
    """The path of a record's rows: always in the folder of the record, even if an edited record names another."""
    return path.parent / Path(str(result.queries.get("file"))).name


def _outcomes(path: Path, result: Result) -> Outcomes:
    """The outcomes of the rows. Raises ValueError if the rows are not those that the record was written with.

    Only the numbers after a few keys are parsed, since rows are long. No text can hold an unescaped `"key": `.
    """
    data = rows_path(path, result).read_bytes()
    if hashlib.sha256(data).hexdigest() != result.queries.get("sha256"):
        raise ValueError
    lines = [line for line in data.split(b"\n") if line]
    scores = np.array([float(_after(line, result.main_metric, b",")) for line in lines])
    if len(scores) != result.num_queries or not len(scores) or not math.isfinite(float(scores.sum())):
        raise ValueError
    strict = result.protocol != "official"
    tied = [strict and _after(line, "best_rank", b"]") != _after(line, "worst_rank", b"]") for line in lines]
    return Outcomes(scores, np.array(tied), _clusters(lines))


def _after(line: bytes, key: str, end: bytes) -> bytes:
    """The bytes between a key and the next `end`. Raises ValueError if there is no such key."""
    mark = f'"{key}": '.encode()
    start = line.index(mark) + len(mark)
    return line[start : line.index(end, start)]


def _clusters(lines: Sequence[bytes]) -> Clusters | None:
    """The clusters of rows. None if all queries are unrelated, or if the rows are of a version without clusters."""
    try:
        numbers = np.array([int(_after(line, "cluster", b",")) for line in lines], dtype=np.int32)
    except ValueError:
        return None
    found, places = np.unique(numbers, return_inverse=True)
    return None if len(found) == len(lines) else places.astype(np.int32)
