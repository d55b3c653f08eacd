"""Settings that a user writes as `name=value`: the one parser of them into a frozen dataclass.

A field's annotation says how its value is read. A bool is `true` or `false`. A tuple has commas between its values. A
mapping is written as `A:2,B:0.5`. A `Literal` takes one of its values. `Annotated[..., ReadAs(function)]` reads
everything else. `none` is written where a field may be None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, get_args, get_origin, get_type_hints

from harness.errors import UserError, unknown_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    S = TypeVar("S", bound=DataclassInstance)

_MOST = 10**9


@dataclass(frozen=True, slots=True)
class ReadAs:
    """In `Annotated[...]`: reads a field's value from text. The function raises ValueError for text of no use."""

    read: Callable[[str], object]


def whole(least: int = 1) -> ReadAs:
    """Reads a whole number from `least` to below 10**9."""

    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else -1
        if not least <= number < _MOST:
            raise ValueError(f"write a whole number from {least}")
        return number

    return ReadAs(read)


def pairs_of(written: Sequence[str], flag: str, example: str) -> dict[str, str]:
    """`name=value` strings as a mapping. Raises UserError for another form and for a name that is given twice."""
    pairs: dict[str, str] = {}
    for each in written:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise UserError(f"{flag} {each!r} is not of the form NAME=VALUE.", f"For example: {flag} {example}.")
        if name in pairs:
            raise UserError(f"{flag} gives {name} twice.", "Give it once.")
        pairs[name] = value
    return pairs


def read_settings(base: S, given: Mapping[str, str], noun: str, *, leave_out: Sequence[str] = ()) -> S:
    """`base` with the given settings in place.

    Args:
        base: a frozen dataclass with the values of settings that are not given.
        given: text by name.
        noun: what a setting is called in messages, such as "option of LLaVE".
        leave_out: fields that a user cannot set.

    Raises:
        UserError: for an unknown name (close names are offered) and for a value of no use.
    """
    hints = get_type_hints(type(base), include_extras=True)
    known = [each.name for each in fields(base) if each.name not in leave_out]
    changes: dict[str, object] = {}
    for name, text in given.items():
        if name not in known:
            raise unknown_name(noun, name, known, f"Choose from {', '.join(known)}.")
        try:
            changes[name] = read_value(text, hints[name])
        except ValueError as error:
            raise UserError(f"The {noun.partition(' ')[0]} {name} cannot be {text!r}.", _sentence(error)) from None
    return replace(base, **changes)


def read_value(text: str, kind: object) -> object:
    """A value of type `kind` (an annotation). Raises ValueError that says what may be written."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        readers = [each for each in parts[1:] if isinstance(each, ReadAs)]
        return readers[0].read(text) if readers else read_value(text, parts[0])
    if NoneType in parts:
        return (
            None if text.lower() == "none" else read_value(text, next(each for each in parts if each is not NoneType))
        )
    if origin is Literal:
        return _choice(text, {str(each): each for each in parts})
    if origin is tuple:
        return tuple(read_value(each, parts[0]) for each in text.split(",") if each)
    if origin is not None and issubclass(origin, Mapping):
        entries = (each.rpartition(":") for each in text.split(",") if each)
        return {name: read_value(value, parts[1]) for name, _, value in entries}
    if kind is bool:
        return _choice(text.lower(), {"true": True, "false": False})
    return _scalar(text, kind)


def _choice(text: str, choices: Mapping[str, object]) -> object:
    if text not in choices:
        raise ValueError(f"choose from {', '.join(choices)}")
    return choices[text]


def _scalar(text: str, kind: object) -> object:
    assert kind in (int, float, str), f"no way to read {kind}"
    try:
        return int(text) if kind is int else float(text) if kind is float else text
    except ValueError:
        raise ValueError(f"write a {'whole number' if kind is int else 'number'}") from None


def _sentence(error: ValueError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
