"""The result record: what was measured, on what, with what, under which rule; its invariants and its files.

    OUT/<model>/<revision>/<task>.json           the record
    OUT/<model>/<revision>/<task>.queries.jsonl  one row a query, whose digest the record holds

A record that answers another question (another protocol, limit, option, dataset) never overwrites this one: the older
of the two steps aside to `<task>.<identity>.json`, where it is still found.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import jsonlines
from filelock import FileLock

from harness.errors import UserError
from harness.paths import explain_os_errors, safe_name, write_atomic
from harness.types import ModelSpec

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Score:
    """A metric over all queries, as a fraction (or a rank), with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Result:
    """One model on one task. The fields and their order are the file's; docs/results.md explains each."""

    format: int
    status: str
    identity: str
    task: str
    meta_task: str | None
    split: str | None
    scope: str
    main_metric: str
    model: Mapping[str, object]
    protocol: str
    metrics: Mapping[str, Score]
    official: Mapping[str, Score]
    chance: Mapping[str, float]
    tied_queries: int
    num_queries: int
    num_targets: int
    dataset: Mapping[str, object]
    settings: Mapping[str, object]
    bad_media: Sequence[Mapping[str, object]]
    environment: Mapping[str, object]
    cost: Mapping[str, object]
    created: str
    queries: Mapping[str, str] = field(default_factory=dict)
    """The file of per-query rows and its SHA-256; filled in when the record is written."""

    @property
    def main(self) -> Score:
        return self.metrics[self.main_metric]


QueryRow = Mapping[str, object]


def result_folder(out: Path, spec: ModelSpec) -> Path:
    return out / safe_name(spec.name) / safe_name(spec.revision)


def check_invariants(result: Result) -> None:
    """What must hold of every record. A violation is a bug of ours, or a file that somebody edited."""
    assert result.main_metric in result.metrics
    assert result.metrics.keys() == result.official.keys()
    for name, score in [*result.metrics.items(), *result.official.items()]:
        values = (score.value, score.low, score.high)
        assert all(math.isfinite(value) for value in values), name
        assert "rank" in name or all(-1e-9 <= value <= 1 + 1e-9 for value in values), name
    assert 0 <= result.tied_queries <= result.num_queries


def write_result(folder: Path, result: Result, rows: Sequence[QueryRow]) -> Path:
    """Writes rows, then record, each whole or not at all. Returns the record's path."""
    check_invariants(result)
    text = _lines(rows)
    stem = safe_name(result.task)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{stem}.lock"):
            _step_aside(folder, stem, result.identity)
            name = f"{stem}.queries.jsonl"
            write_atomic(folder / name, text)
            record = asdict(result)
            record["queries"] = {"file": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}
            path = folder / f"{stem}.json"
            write_atomic(path, json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def find_result(folder: Path, task: str, identity: str) -> Result | None:
    """A finished record that answers exactly this question, with its rows whole; else None."""
    stem = safe_name(task)
    for path in (folder / f"{stem}.json", folder / f"{stem}.{identity[:12]}.json"):
        try:
            result = load_result(path)
        except (UserError, FileNotFoundError):
            continue
        if result.identity == identity and result.status == "done" and rows_are_whole(path, result):
            return result
    return None


def load_result(path: Path) -> Result:
    """Reads a record. Raises UserError for a file that is not one, or that a newer version wrote."""
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Results are at OUT/<model>/<revision>/<task>.json.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is not a result: {error}.", "Move it away and run the evaluation again.") from None
    version = record.get("format") if isinstance(record, dict) else None
    if not isinstance(version, int):
        raise UserError(f"{path} is not a result of llave-bench: it has no format number.", "Name a result file.")
    if version > FORMAT:
        hint = "Upgrade llave-bench."
        raise UserError(f"{path} was written by a newer version (format {version}; this one reads {FORMAT}).", hint)
    missing = sorted({each.name for each in fields(Result)} - record.keys())
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}.", "Move it away and run the evaluation again.")
    known = {each.name: record[each.name] for each in fields(Result)}
    try:
        for part in ("metrics", "official"):
            known[part] = {name: Score(**score) for name, score in known[part].items()}
        result = Result(**known)
        check_invariants(result)
    except (TypeError, AttributeError, AssertionError) as error:
        raise UserError(
            f"{path} is damaged: {error or 'a value is out of range'}.", "Run the evaluation again."
        ) from None
    return result


def load_rows(path: Path, result: Result) -> list[QueryRow]:
    """The per-query rows of the record at `path`. Raises UserError if they are not the ones it was written with."""
    if not rows_are_whole(path, result):
        hint = "They were changed or lost. Run the evaluation again."
        raise UserError(f"{path.parent / result.queries['file']} does not hold the rows of {path.name}.", hint)
    with jsonlines.open(path.parent / result.queries["file"]) as reader:
        return list(reader)


def rows_are_whole(path: Path, result: Result) -> bool:
    try:
        data = (path.parent / result.queries["file"]).read_bytes()
    except (OSError, KeyError):
        return False
    return hashlib.sha256(data).hexdigest() == result.queries.get("sha256")


def result_paths(places: Sequence[Path]) -> Iterator[Path]:
    """Record files under folders (at any depth) and record files named as such, sorted within a folder."""
    for place in places:
        if place.is_file():
            yield place
        else:
            yield from sorted(path for path in place.rglob("*.json") if not path.name.startswith("."))


def _lines(rows: Sequence[QueryRow]) -> str:
    buffer = io.StringIO()
    with jsonlines.Writer(buffer) as writer:
        writer.write_all(rows)
    return buffer.getvalue()


def _step_aside(folder: Path, stem: str, identity: str) -> None:
    """Moves a record of another identity, with its rows, to a name of its own."""
    path = folder / f"{stem}.json"
    try:
        older = load_result(path)
    except UserError:
        return
    if older.identity == identity:
        return
    name = f"{stem}.{older.identity[:12]}"
    rows = folder / older.queries["file"]
    if rows.is_file():
        os.replace(rows, folder / f"{name}.queries.jsonl")
    record = asdict(older)
    record["queries"] = {**older.queries, "file": f"{name}.queries.jsonl"}
    write_atomic(folder / f"{name}.json", json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    path.unlink()
