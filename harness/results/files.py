"""The result record of a model on a task: its fields, its invariants, and its files.

    OUT/<model>/<revision>/<task>.json           the record
    OUT/<model>/<revision>/<task>.queries.jsonl  one row per query; the record holds the digest of this file

Two records with different identities (another protocol, limit, option, dataset) never overwrite each other. The older
one is moved to `<task>.<identity>.json`, where it is still found.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import jsonlines
from filelock import FileLock

from harness.errors import UnknownName, UserError
from harness.files.paths import safe_name
from harness.files.writing import explain_os_errors, write_atomic
from harness.scoring.metrics import QueryRow, Score
from harness.types import ModelSpec

FORMAT = 1
_AGAIN = "Move it away and run the evaluation again."
_JSON = {"int": int, "str": str, "str | None": str | None, "Mapping": dict, "Sequence": list}
"""Type in the file for each type of field."""


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_JSON_ONLY = json.JSONDecoder(parse_constant=_refuse)
"""Python reads NaN and Infinity, which no other reader of a record takes, and which could not be written again."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one model on one task. The file has these fields in this order; docs/results.md explains them."""

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
    strict: Mapping[str, Score]
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
    """The file of per-query rows and its SHA-256. `write_result` sets it."""

    @property
    def main(self) -> Score:
        """The score of the main metric."""
        return self.metrics[self.main_metric]


def result_folder(out: Path, spec: ModelSpec) -> Path:
    """Returns the folder of a model's results below `out`."""
    return out / safe_name(spec.name) / safe_name(spec.revision)


def check_writable(folder: Path) -> None:
    """Creates the folder and tests that files can be written, before hours of embedding. Raises: UserError."""
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def check_invariants(result: Result) -> None:
    """Checks the invariants of a record. Raises: AssertionError, for a bug of ours or an edited file."""
    for each in fields(Result):
        kind = _JSON[str(each.type).partition("[")[0]]
        assert isinstance(getattr(result, each.name), kind), f"{each.name} is not of its kind"
    assert result.main_metric in result.metrics, "its main metric is not among its metrics"
    rules = {"strict": result.strict, "official": result.official}
    assert result.strict.keys() == result.official.keys() == result.chance.keys(), "its metrics do not match"
    assert result.metrics == rules.get(result.protocol), "its metrics are not those of its protocol"
    scores = [pair for rule in rules.values() for pair in rule.items()]
    numbers = [(name, value) for name, score in scores for value in (score.value, score.low, score.high)]
    for name, value in [*numbers, *result.chance.items()]:
        assert math.isfinite(value), f"{name} is not a number"
        assert name.endswith("_rank") or -1e-9 <= value <= 1 + 1e-9, f"{name} is not a fraction"
    assert 0 <= result.tied_queries <= result.num_queries, "more queries are tied than there are"
    assert {"name", "revision", "fingerprint"} <= result.model.keys(), "its model has no name, revision or fingerprint"
    assert {"source", "revision", "digest"} <= result.dataset.keys(), "its data has no source, revision or digest"


def write_result(folder: Path, result: Result, rows: Sequence[QueryRow]) -> Result:
    """Writes the rows and then the record, each atomically, and returns the record as written.

    Raises: UserError if the disk refuses; AssertionError if an invariant does not hold.
    """
    stem = safe_name(result.task)
    name, text = f"{stem}.queries.jsonl", _lines(rows)
    result = replace(result, queries={"file": name, "sha256": hashlib.sha256(text.encode()).hexdigest()})
    check_invariants(result)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{stem}.lock"):
            _step_aside(folder, stem, result.identity)
            write_atomic(folder / name, text)
            write_atomic(folder / f"{stem}.json", _text(asdict(result)))
    return result


def find_result(folder: Path, task: str, identity: str) -> Result | None:
    """Returns the finished record with this identity, if its file of rows is complete; otherwise None."""
    stem = safe_name(task)
    for path in (folder / f"{stem}.json", folder / f"{stem}.{identity[:12]}.json"):
        try:
            result = load_result(path)
        except UserError:
            continue
        if result.identity == identity and result.status == "done" and rows_are_whole(path, result):
            return result
    return None


def load_result(path: Path) -> Result:
    """Reads a record. Raises: UserError if the file is not a record, is damaged, or is of a newer version."""
    if not path.is_file():
        what = "is a folder, not a result" if path.is_dir() else "does not exist"
        where = "Results are at OUT/<model>/<revision>/<task>.json."
        raise UnknownName("results", str(path), f"{path} {what}.", where)
    try:
        record = _JSON_ONLY.decode(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions.") from None
    except ValueError as error:
        raise UserError(f"{path} is not a result: {error}.", _AGAIN) from None
    version = record.get("format") if isinstance(record, dict) else None
    if not isinstance(version, int):
        raise UserError(f"{path} is not a result of llave-bench: it has no format number.", "Name a result file.")
    if version > FORMAT:
        hint = "Upgrade llave-bench."
        raise UserError(f"{path} was written by a newer version (format {version}; this one reads {FORMAT}).", hint)
    missing = sorted({each.name for each in fields(Result)} - record.keys())
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}.", _AGAIN)
    try:
        for part in ("metrics", "strict", "official"):
            record[part] = {name: Score(**score) for name, score in record[part].items()}
        result = Result(**{each.name: record[each.name] for each in fields(Result)})
        check_invariants(result)
    except (TypeError, AttributeError, AssertionError) as error:
        raise UserError(f"{path} is damaged: {error}.", _AGAIN) from None
    return result


def load_rows(path: Path, result: Result) -> list[QueryRow]:
    """Reads the per-query rows of the record at `path`. Raises: UserError if their file is missing or was changed."""
    if not rows_are_whole(path, result):
        what = f"{_rows_of(path, result)} does not hold the rows of {path.name}: it was changed, or lost."
        raise UserError(what, _AGAIN)
    with jsonlines.open(_rows_of(path, result)) as reader:
        return list(reader)


def rows_are_whole(path: Path, result: Result) -> bool:
    """Whether the file of per-query rows exists and has the digest that the record at `path` holds."""
    try:
        data = _rows_of(path, result).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == result.queries.get("sha256")


def _rows_of(path: Path, result: Result) -> Path:
    """Returns the path of the rows. It is always beside the record, even if an edited record names another folder."""
    return path.parent / Path(str(result.queries.get("file"))).name


def _lines(rows: Sequence[QueryRow]) -> str:
    buffer = io.StringIO()
    with jsonlines.Writer(buffer) as writer:
        writer.write_all(rows)
    return buffer.getvalue()


def _text(record: Mapping[str, object]) -> str:
    return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _step_aside(folder: Path, stem: str, identity: str) -> None:
    """Moves a record of another identity, with its rows, to a name with its identity.

    After a kill in the middle, the next call completes the move. A record that cannot be read, such as one of a newer
    version, is moved too.
    """
    path = folder / f"{stem}.json"
    if not path.exists():
        return
    data = path.read_bytes()
    try:
        record = _JSON_ONLY.decode(data.decode("utf-8"))
        known = str(record["identity"])
        file = record["queries"]["file"]
    except (ValueError, TypeError, KeyError):
        os.replace(path, folder / f"{stem}.{hashlib.sha256(data).hexdigest()[:12]}.json")
        return
    if known == identity:
        return
    name = f"{stem}.{safe_name(known)[:12]}"
    if file == f"{stem}.queries.jsonl" and (folder / file).exists():
        os.replace(folder / file, folder / f"{name}.queries.jsonl")
    record["queries"]["file"] = f"{name}.queries.jsonl"
    write_atomic(folder / f"{name}.json", _text(record))
    path.unlink()
