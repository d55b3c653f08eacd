"""Reads text, JSON, JSON Lines, TOML and YAML. What is wrong becomes one message with file, line and remedy.

All files of users pass through here: tasks, items, pairs, records, rows, score files, and the JSON of checkpoints. So
they are all read by the same rules, whatever parsers happen to be installed:

- UTF-8, with or without a byte order mark.
- JSON by the rules of `strict_json`. Files that libraries write, such as those of checkpoints, may have any number and
  any string: `lenient`.
"""

from __future__ import annotations

import codecs
import json
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import jsonlines

from harness.errors import UserError
from harness.files.kinds import MISSING, other_than, what_is
from harness.files.strict_json import check_strings, parse_json

JSON_LINES = (".jsonl", ".ndjson")
"""Extensions of JSON Lines, in lower or upper case."""
_CORRECT = "Correct the file."
_ONE_A_LINE = "Write one JSON object on each line: jq -c . OLD > NEW, or jq -c .[] OLD > NEW for an array."
_ENCODE = "Save it as UTF-8: iconv -f ENCODING -t UTF-8 OLD > NEW"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_NEWLINE = b"\n"


class UnreadableFile(UserError):
    """A file that cannot be read, or that does not hold what it should."""


@contextmanager
def explain_reading(path: Path, kind: str = "", hint: str = "") -> Iterator[None]:
    """Turns whatever a library raises while it reads a file into an UnreadableFile that names the file.

    `kind` is what the file should be, such as `a Parquet file`. The body should hold the call of the library alone: a
    bug of ours inside it would be blamed on the file.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise UnreadableFile(f"{path} asks for more memory than there is.", hint or "It may be damaged.") from None
    except OSError as error:
        if error.strerror is None:  # raised by a parser, not by the system
            raise _damaged(path, kind, error, hint) from None
        raise _refused(path, error) from None
    except Exception as error:  # noqa: BLE001 -- parsers of damaged files raise anything
        raise _damaged(path, kind, error, hint) from None


@contextmanager
def _naming(path: Path, wanted: str) -> Iterator[None]:
    """Says what a file that cannot be read is, if it is something else than what was wanted."""
    try:
        yield
    except UnreadableFile:
        if other := other_than(path, wanted):
            raise UnreadableFile(f"{path} is not {wanted}: it is {other.name}.", other.remedy) from None
        raise


def _damaged(path: Path, kind: str, error: Exception, hint: str) -> UnreadableFile:
    if kind and (other := other_than(path, kind)):
        return UnreadableFile(f"{path} is not {kind}: it is {other.name}.", other.remedy)
    why = "it is nested too deep" if isinstance(error, RecursionError) else reason(error)
    return UnreadableFile(f"{path} is not {kind or 'readable'}: {why}.", hint or "It may be damaged. Fetch it again.")


def _refused(path: Path, error: OSError) -> UnreadableFile:
    what, remedy = f"{path} cannot be read: {error.strerror}", "Check the path and the disk."
    found = what_is(path) if isinstance(error, FileNotFoundError | IsADirectoryError) else MISSING
    if found is not MISSING:
        return UnreadableFile(f"{what}; it is {found.name}.", found.remedy)
    return UnreadableFile(f"{what}.", "Check its permissions." if isinstance(error, PermissionError) else remedy)


def reason(error: BaseException, most: int = 200) -> str:
    """Returns the message of a library's error as part of a sentence: one line, without a full stop."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if len(text) <= most else f"{text[: most - 1]}…").rstrip(".")


def named_reason(error: BaseException) -> str:
    """Returns the kind of an error and its message: `KeyError: 'width'`. An error without a message is its kind."""
    why, kind = reason(error), type(error).__name__
    return why if why == kind else f"{kind}: {why}"


def read_text(path: Path, hint: str = "") -> str:
    """Reads a text in UTF-8. Raises: UnreadableFile if it cannot be read or is in another encoding."""
    with explain_reading(path, "a text file", hint):
        data = path.read_bytes()
    with _naming(path, "a text"):
        return _decoded(data, str(path))


def _decoded(data: bytes, subject: str, *, is_line: bool = False) -> str:
    """The text in UTF-8. `subject` begins the sentence of an error: a file, or `FILE, line N: it`."""
    if data.startswith(_WIDE):
        raise UnreadableFile(f"{subject} is in UTF-16 or UTF-32, not in UTF-8.", _ENCODE)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = "" if is_line else f" in line {1 + data.count(_NEWLINE, 0, error.start):,}"
        what = f"{subject} is not in UTF-8: byte 0x{data[error.start]:02x}{line} begins no character of it."
        raise UnreadableFile(what, _ENCODE) from None


def read_json(path: Path, hint: str = _CORRECT, *, lenient: bool = False) -> object:
    """Reads a file that holds one JSON value. Raises: UnreadableFile with the file, the place in it, and `hint`."""
    text = read_text(path)
    try:
        return parse_json(text, lenient=lenient)
    except ValueError as error:
        with _naming(path, "valid JSON"):
            raise UnreadableFile(f"{path} is not valid JSON: {error}.", hint) from None


def read_object(path: Path, hint: str = _CORRECT, *, lenient: bool = False) -> dict[str, object]:
    """Reads a file that holds one JSON object. Raises: UnreadableFile, also if it holds another value."""
    value = read_json(path, hint, lenient=lenient)
    if not isinstance(value, dict):
        raise UnreadableFile(f"{path} holds {_kind(value)}, not a JSON object.", hint)
    return value


def read_toml(path: Path, hint: str = _CORRECT) -> dict[str, object]:
    """Reads a TOML file. Raises: UnreadableFile with the file, the place in it, and `hint`."""
    text = read_text(path)
    with explain_reading(path, "valid TOML", hint):
        value = tomllib.loads(text)
        check_strings(value)
    return value


def parse_yaml(text: str, path: Path, hint: str = _CORRECT) -> object:
    """Parses the YAML value that a file holds. Raises: UnreadableFile, also for aliases (`*name`).

    A few aliases of aliases stand for a value that no memory holds.
    """
    import yaml

    with explain_reading(path, "valid YAML", hint):
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise UnreadableFile(f"{path} has an alias of YAML, such as `*name`.", "Write the value out.")
        value: object = yaml.safe_load(text)
        check_strings(value)
    return value


def is_json_lines(path: Path) -> bool:
    """Whether a file is JSON Lines, by its extension."""
    return path.suffix.lower() in JSON_LINES


def read_lines(path: Path, hint: str = _CORRECT) -> Iterator[tuple[int, dict[str, object]]]:
    """Reads JSON Lines one by one: the objects with their line numbers, from 1. Blank lines are skipped.

    Raises: UnreadableFile that names file and line for anything else than an object on a line.
    """
    with explain_reading(path):
        file = path.open("rb")
    with file, _naming(path, "JSON Lines"):
        yield from parse_lines(file, str(path), hint)


def parse_lines(
    lines: IO[bytes] | Sequence[bytes], source: str, hint: str = _CORRECT, *, lenient: bool = False
) -> Iterator[tuple[int, dict[str, object]]]:
    """Parses lines that were opened or read before, as `read_lines` does. `source` is the name for messages."""
    reader = _Lines(lines, source)
    loads = partial(parse_json, lenient=lenient)
    objects = jsonlines.Reader(reader, loads=loads).iter(type=dict)
    while True:
        try:
            value = next(objects, None)
        except jsonlines.InvalidLineError as error:
            remedy = _ONE_A_LINE if hint == _CORRECT and _spans_lines(error.line) else hint
            raise bad_line(source, reader.number, _line_error(error), remedy) from None
        if value is None:
            return
        yield reader.number, value


def bad_line(source: str | Path, number: int, why: object, hint: str = _CORRECT) -> UnreadableFile:
    """Returns the error for a line of a file: where it is, and why it cannot be used."""
    return UnreadableFile(f"{place_of(source, number)}: {why}.", hint)


def place_of(source: str | Path, number: int) -> str:
    """Names a line of a file for messages. The first is line 1."""
    return f"{source}, line {number:,}"


class _Lines:
    """The lines of a file as text, without blank ones, and the number of the line that was given last."""

    def __init__(self, lines: IO[bytes] | Sequence[bytes], source: str) -> None:
        self._lines, self._source = lines, source
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        with explain_reading(Path(self._source)):
            for line in self._lines:
                self.number += 1
                text = _decoded(line, f"{place_of(self._source, self.number)}: it", is_line=True)
                if text := text.strip():
                    yield text


def _line_error(error: jsonlines.InvalidLineError) -> str:
    cause = error.__cause__
    if isinstance(cause, ValueError):
        return f"it is not valid JSON: {cause}"
    return f"it holds {_kind(json.loads(error.line))}, not a JSON object"


def _spans_lines(line: str) -> bool:
    """Whether a bad line is an array, or only the beginning of an object. Then the file is no JSON Lines."""
    line = line.strip()
    try:
        return isinstance(json.loads(line), list)
    except json.JSONDecodeError as error:
        return line[0] in "[{" and error.pos >= len(line) - 1
    except (ValueError, RecursionError):
        return False


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
