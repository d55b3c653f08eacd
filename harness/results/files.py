"""The files of results: where they lie, and how they are written and found.

    OUT/<model>/<revision>/<task>.json           the record
    OUT/<model>/<revision>/<task>.queries.jsonl  one row per query; the record holds the digest of this file

Two records with different identities (another protocol, limit, option, dataset) never overwrite each other. The older
one is moved to `<task>.<identity>.json`, where it is still found.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from filelock import FileLock

from harness.errors import UnknownName, UserError
from harness.files.paths import safe_name
from harness.files.reading import UnreadableFile, read_object
from harness.files.writing import explain_os_errors, write_atomic
from harness.results.result import FORMAT, Result, check_result, result_of
from harness.scoring.metrics import QueryRow
from harness.types import ModelSpec

DAMAGED = "The result is damaged. Move it away and run the evaluation again."
_NO_JSON = f"Name a .json file that `llave run` wrote. If it is one: {DAMAGED}"
_UNREADABLE = re.compile(r"[\ud800-\udfff]|\\(?:u0000|.)")
"""What our reader of JSON refuses in a string: half of a character, and NUL. Other escapes match too, to be kept."""


def result_folder(out: Path, spec: ModelSpec) -> Path:
    """Returns the folder of a model's results below `out`."""
    return out / safe_name(spec.name) / safe_name(spec.revision)


def check_writable(folder: Path) -> None:
    """Creates the folder and tests that files can be written, before hours of embedding. Raises: UserError."""
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def write_result(folder: Path, result: Result, rows: Sequence[QueryRow]) -> Result:
    """Writes the rows and then the record, each atomically, and returns the record as written.

    Raises: UserError if the disk refuses; ValueError if the record breaks a rule, which is a bug of ours.
    """
    stem = safe_name(result.task)
    name, text = f"{stem}.queries.jsonl", "".join(f"{_json(row)}\n" for row in rows)
    result = replace(result, queries={"file": name, "sha256": hashlib.sha256(text.encode()).hexdigest()})
    check_result(result)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{stem}.lock"):
            _step_aside(folder, stem, result.identity)
            write_atomic(folder / name, text)
            write_atomic(folder / f"{stem}.json", _text(asdict(result)))
    return result


def files_for(folder: Path, task: str, identity: str) -> Iterator[Path]:
    """The files in which a result of this identity can lie, of those that exist."""
    stem = safe_name(task)
    for name in (f"{stem}.json", f"{stem}.{identity[:12]}.json"):
        if (folder / name).is_file():
            yield folder / name


def read_record(path: Path) -> Result:
    """Reads a record without its rows, so that nothing says whether its figures are right.

    It serves to recognise, list and choose files. `read_result` is for whoever shows or uses a figure.

    Raises: UserError if the file is not a record, is damaged, or is of a newer version.
    """
    if not path.is_file():
        what = "is a folder, not a result" if path.is_dir() else "does not exist"
        where = "Results are at OUT/<model>/<revision>/<task>.json."
        raise UnknownName("results", str(path), f"{path} {what}.", where)
    record = read_object(path, _NO_JSON)
    version = record.get("format")
    if not isinstance(version, int):
        raise UserError(f"{path} is not a result of llave-bench: it has no format number.", "Name a result file.")
    if version > FORMAT:
        hint = "Upgrade llave-bench."
        raise UserError(f"{path} was written by a newer version (format {version}; this one reads {FORMAT}).", hint)
    try:
        return result_of(record)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}.", DAMAGED) from None


def rows_path(path: Path, result: Result) -> Path:
    """The path of a record's rows: always in the folder of the record, even if an edited record names another."""
    return path.parent / Path(result.queries["file"]).name


def _json(value: object, indent: int | None = None) -> str:
    """The value as JSON that our reader takes. What it refuses in a string becomes the replacement character."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return _UNREADABLE.sub(lambda found: "\ufffd" if found[0] == "\\u0000" or len(found[0]) == 1 else found[0], text)


def _text(record: Mapping[str, object]) -> str:
    return _json(record, indent=2) + "\n"


def _step_aside(folder: Path, stem: str, identity: str) -> None:
    """Moves a record of another identity, with its rows, to a name with its identity.

    After a kill in the middle, the next call completes the move. A record that cannot be read, such as one of a newer
    version, is moved too.
    """
    path = folder / f"{stem}.json"
    if not path.exists():
        return
    try:
        record = read_object(path)
        known, queries = record.get("identity"), record.get("queries")
    except UnreadableFile:
        known = queries = None
    if not isinstance(known, str) or not isinstance(queries, dict) or not isinstance(queries.get("file"), str):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        os.replace(path, folder / f"{stem}.{digest[:12]}.json")
        return
    if known == identity:
        return
    name, file = f"{stem}.{safe_name(known)[:12]}", queries["file"]
    if file == f"{stem}.queries.jsonl" and (folder / file).exists():
        os.replace(folder / file, folder / f"{name}.queries.jsonl")
    queries["file"] = f"{name}.queries.jsonl"
    write_atomic(folder / f"{name}.json", _text(record))
    path.unlink()
