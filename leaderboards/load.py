"""Reads results with their per-query scores, and imported scores, from folders and files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnknownName, UserError, counted, hints_of
from harness.results.files import rows_path
from harness.results.result import Result
from harness.results.verified import Record, read_result
from leaderboards.exchange.bundle import is_bundle, opened, placed
from leaderboards.exchange.files import SUFFIX, load_imported, row_of
from leaderboards.published.rows import PublishedRow
from tasks.names import is_variant

_HEAD = 512
"""Number of bytes at the start of a file in which a record names its format."""
ANALYSIS = "llave_analysis"
"""The first key of an analysis that was saved as JSON."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read from files, and a warning for each file that cannot be used."""

    records: tuple[Record, ...]
    imported: tuple[PublishedRow, ...]
    """Rows from the files that `llave import` wrote."""
    warnings: tuple[str, ...]


class RecordMemory:
    """Reads results, each again only if its file or its rows were written since."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[object, Record]] = {}

    def __call__(self, path: Path) -> Record:
        """The record at a path. Raises as `read_result` does."""
        stamp, record = self._kept.get(path, (None, None))
        if record is None or stamp != _stamp(path, record):
            record = read_result(path)
            self._kept[path] = _stamp(path, record), record
        return record


def _stamp(path: Path, record: Record) -> object:
    """What changes when a result or its rows are written."""
    try:
        found = [os.stat(each) for each in (path, rows_path(path, record.result))]
    except OSError:
        return None
    return [(each.st_mtime_ns, each.st_size, each.st_ino) for each in found]


def load(places: Sequence[Path], read: Callable[[Path], Record] = read_result) -> Loaded:
    """Reads all results and imported scores in the given files, folders and bundles.

    They come in the order of `places`, within a folder by path, each file once. `read` reads a result.

    Raises: UserError if nothing can be used.
    """
    warnings: list[str] = []
    errors: list[UserError] = []
    records: list[Record] = []
    imported: dict[Path, PublishedRow] = {}
    bundles = [opened(place) for place in places if is_bundle(place)]
    for path in dict.fromkeys(path for place in places for path in _candidates(opened(place), warnings)):
        try:
            if path.name.endswith(SUFFIX):
                imported[path] = row_of(load_imported(path), path)
            else:
                record, bundle = read(path), next(filter(path.is_relative_to, bundles), None)
                records.append(placed(record, bundle) if bundle else record)
        except UserError as error:
            errors.append(error)
            warnings.append(f"{error.what} {error.hint}".rstrip())
    records = _without_conflicts(records, warnings)
    if not records and not imported:
        if errors and not any(isinstance(each, UnknownName) for each in errors):
            raise UserError("\n".join(each.what for each in errors), hints_of(errors))
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
        return [] if is_analysis(place) else [place]
    found = [path for path in _json_files(place) if not is_analysis(path)]
    records = [path for path in found if _may_be_record(path)]
    if len(found) > len(records):
        other = next(path for path in found if path not in set(records))
        warnings.append(
            f"{place} has {counted(len(found) - len(records), 'other JSON file')}, such as {other.name}: ignored."
        )
    if not records:
        warnings.append(f"{place} holds no results.")
    return records


def analysis_files(places: Sequence[Path]) -> list[Path]:
    """The files of analyses in the given files, folders and bundles, in the order of `places`, then by path."""
    found = [opened(place) for place in places if place.exists()]
    files = (path for place in found for path in (_json_files(place) if place.is_dir() else [place]))
    return [path for path in dict.fromkeys(files) if is_analysis(path)]


def _json_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if not path.name.startswith(".") and path.is_file())


def is_analysis(path: Path) -> bool:
    """Whether a file is an analysis that was saved as JSON, by its first bytes."""
    return f'"{ANALYSIS}"'.encode() in (_head(path) or b"")


def _may_be_record(path: Path) -> bool:
    if path.name.endswith(SUFFIX):
        return True
    head = _head(path)
    return head is None or not head.strip() or b'"format"' in head


def _head(path: Path) -> bytes | None:
    """The first bytes of a file. None if it cannot be read; reading the whole file reports the error."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return None


def _without_conflicts(records: Sequence[Record], warnings: list[str]) -> list[Record]:
    """Each identity once. Files that claim one identity with different scores are all left out."""
    claims: dict[str, list[Record]] = {}
    for record in records:
        claims.setdefault(record.result.identity, []).append(record)
    kept = []
    for first, *others in claims.values():
        if all(each.result.metrics == first.result.metrics for each in others):
            kept.append(first)
            continue
        named = ", ".join(str(each.path) for each in (first, *others))
        warnings.append(f"{named} have the same identity but different scores, so none is shown. Run them again.")
    return kept


def is_separate(result: Result) -> bool:
    """Whether a result is of a part of a dataset (`--limit`) or of another scope (`@global`).

    Such a result stands for itself. It makes no row incomplete, and decides nothing beside results of whole datasets.
    """
    return result.settings.get("limit") is not None or is_variant(result.task)


def was_renamed(path: Path) -> bool:
    """Whether the file was renamed when a result with other settings took its plain name."""
    stem, _, digest = path.stem.rpartition(".")
    return bool(re.fullmatch("[0-9a-f]{12}", digest)) and path.with_name(f"{stem}.json").exists()
