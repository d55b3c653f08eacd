"""Reads text, JSON and JSON Lines. Whatever can be wrong with a file becomes one message with file, line and remedy.

All files of users pass through here: tasks, items, pairs, records, rows, score files, and the JSON of checkpoints. So
they are all read by the same rules, whatever parsers happen to be installed:

- UTF-8, with or without a byte order mark.
- JSON as RFC 8259 has it, without NaN and Infinity.
- No float beyond the range of fp64, and no integer beyond 64 bits.
- A key occurs once in an object. RFC 8259 leaves open which of two values counts.
- No lone surrogate, which UTF-8 cannot encode, and no NUL in a string. At most 64 levels.

Files that libraries write, such as those of checkpoints, may have any number and any string: `lenient`.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

import jsonlines

from harness.errors import UserError
from harness.files.kinds import MISSING, other_than, what_is

MOST_LEVELS = 64
"""The most levels of a JSON value. Deeper ones are damage or an attack, and would end the recursion of other code."""
_CORRECT = "Correct the file."
_ENCODE = "Save it as UTF-8: iconv -f ENCODING -t UTF-8 OLD > NEW"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_UNSTORABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_LONGEST_INTEGER = 20
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


def read_text(path: Path, hint: str = "") -> str:
    """Reads a text in UTF-8. Raises: UnreadableFile if it cannot be read or is in another encoding."""
    with explain_reading(path, "a text file", hint):
        data = path.read_bytes()
    with _naming(path, "a text"):
        return _decoded(data, str(path))


def _decoded(data: bytes, place: str) -> str:
    if data.startswith(_WIDE):
        raise UnreadableFile(f"{place} is in UTF-16 or UTF-32, not in UTF-8.", _ENCODE)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = "" if ", line " in place else f" in line {1 + data.count(_NEWLINE, 0, error.start):,}"
        what = f"{place} is not in UTF-8: byte 0x{data[error.start]:02x}{line} begins no character of it."
        raise UnreadableFile(what, _ENCODE) from None


def parse_json(text: str, *, lenient: bool = False) -> object:
    """Parses a JSON value by the rules of this module.

    `lenient` takes what libraries write: NaN, Infinity, integers beyond 64 bits, and any string.

    Raises: ValueError that says what is wrong and where, for a caller that knows the file and the line.
    """
    try:
        value: object = (_LENIENT if lenient else _STRICT).decode(text)
        _check_levels(value)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise ValueError(_position(error)) from None
    if not lenient and _UNSTORABLE.search(text):
        _check_strings(value)
    return value


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


def read_lines(path: Path, hint: str = _CORRECT) -> Iterator[tuple[int, dict[str, object]]]:
    """Reads JSON Lines one by one: the objects with their line numbers, from 1. Blank lines are skipped.

    Raises: UnreadableFile that names file and line for anything else than an object on a line.
    """
    with explain_reading(path):
        file = path.open("rb")
    with file, _naming(path, "JSON Lines"):
        yield from parse_lines(file, str(path), hint)


def parse_lines(
    lines: IO[bytes] | Sequence[bytes], source: str, hint: str = _CORRECT
) -> Iterator[tuple[int, dict[str, object]]]:
    """Parses lines that were opened or read before, as `read_lines` does. `source` is the name for messages."""
    reader = _Lines(lines, source)
    objects = jsonlines.Reader(reader, loads=parse_json).iter(type=dict)
    while True:
        try:
            value = next(objects, None)
        except jsonlines.InvalidLineError as error:
            raise UnreadableFile(f"{reader.place} {_line_error(error)}.", hint) from None
        if value is None:
            return
        yield reader.number, value


class _Lines:
    """The lines of a file as text, without blank ones, and the number of the line that was given last."""

    def __init__(self, lines: IO[bytes] | Sequence[bytes], source: str) -> None:
        self._lines, self._source = lines, source
        self.number = 0

    @property
    def place(self) -> str:
        return f"{self._source}, line {self.number:,}"

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number += 1
            with explain_reading(Path(self._source)):
                text = _decoded(line, self.place)
            if text.strip():
                yield text


def _line_error(error: jsonlines.InvalidLineError) -> str:
    cause = error.__cause__
    if isinstance(cause, ValueError):
        return f"is not valid JSON: {cause}"
    return f"holds {_kind(json.loads(error.line))}, not a JSON object"


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _position(error: json.JSONDecodeError) -> str:
    why = error.msg[0].lower() + error.msg[1:]
    return (
        f"{why} at line {error.lineno:,}, column {error.colno:,}"
        if "\n" in error.doc
        else f"{why} at column {error.colno:,}"
    )


_TOO_DEEP = f"it has more than {MOST_LEVELS} levels"


def _check_levels(value: object) -> None:
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        if depth > MOST_LEVELS:
            raise ValueError(_TOO_DEEP)
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]


def _check_strings(value: object) -> None:
    for text in _strings(value):
        if "\0" in text:
            raise ValueError("a string holds the character NUL (\\u0000)")
        lone = next((each for each in text if "\ud800" <= each <= "\udfff"), None)
        if lone:
            raise ValueError(f"a string holds half of a character, the lone surrogate \\u{ord(lone):04x}")


def _strings(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, list):
            waiting += each


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {double!r} occurs twice in one object")
    return fields


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER or not -(2**63) <= int(digits) < 2**64:
        raise ValueError(f"the integer {digits[:20]}{'…' * (len(digits) > 20)} does not fit 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:20]} is beyond the range of a float")
    return number


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_refuse)
_LENIENT = json.JSONDecoder(object_pairs_hook=_object)
