"""Parses JSON by one set of rules, whatever parsers happen to be installed.

- JSON as RFC 8259 has it, without NaN and Infinity.
- No float beyond the range of fp64, and no integer beyond 64 bits.
- A key occurs once in an object. RFC 8259 leaves open which of two values counts.
- No lone surrogate, which UTF-8 cannot encode, and no NUL in a string. At most 64 levels.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import NoReturn

MOST_LEVELS = 64
"""The most levels of a JSON value. Deeper ones are damage or an attack, and would end the recursion of other code."""
_UNSTORABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_LONGEST_INTEGER = 20


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
        check_strings(value)
    return value


def _position(error: json.JSONDecodeError) -> str:
    why = error.msg[0].lower() + error.msg[1:]
    line = f"line {error.lineno:,}, " if "\n" in error.doc else ""
    return f"{why} at {line}column {error.colno:,}"


_TOO_DEEP = f"it has more than {MOST_LEVELS} levels"


def _check_levels(value: object) -> None:
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        if depth > MOST_LEVELS:
            raise ValueError(_TOO_DEEP)
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]


def check_strings(value: object) -> None:
    """Checks the strings in a value of lists and dictionaries, at any depth.

    Raises: ValueError for one that cannot be written to a file again: with a NUL or a lone surrogate.
    """
    for place, text in _strings(value):
        if bad := _UNWRITABLE.search(text):
            why = "the character NUL" if bad[0] == "\0" else "half of a character, the lone surrogate"
            raise ValueError(f"a string{f' at {place}' if place else ''} holds {why} \\u{ord(bad[0]):04x}")


def _strings(value: object) -> Iterator[tuple[str, str]]:
    """The strings in a value with their places, such as `[3]['text']`. A key has the place of its object."""
    waiting = [("", value)]
    while waiting:
        place, each = waiting.pop()
        if isinstance(each, str):
            yield place, each
        elif isinstance(each, dict):
            waiting += [(place, key) for key in each] + [(f"{place}[{key!r}]", inner) for key, inner in each.items()]
        elif isinstance(each, list):
            waiting += [(f"{place}[{number}]", inner) for number, inner in enumerate(each)]


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
