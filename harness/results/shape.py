"""The shape that values of JSON must have: kinds of values, lists of one shape, and objects by field."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias


class ValueKind(NamedTuple):
    """A kind of single values: its name in messages, and whether a value is of it."""

    name: str
    fits: Callable[[object], bool]


Shape: TypeAlias = "ValueKind | list[Shape] | Mapping[str, Shape]"
"""A field whose name ends in `?` may be absent or null. Fields that are not named may be anything."""


def is_number(value: object) -> bool:
    """Whether a value is a finite number. A truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: object) -> bool:
    """Whether a value is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


NUMBER = ValueKind("a number", is_number)
COUNT = ValueKind("a whole number from 0", is_count)
RANK = ValueKind("a rank from 1", lambda value: is_count(value) and value != 0)
TEXT = ValueKind("a text", lambda value: isinstance(value, str))
FLAG = ValueKind("true or false", lambda value: isinstance(value, bool))
OBJECT = ValueKind("an object", lambda value: isinstance(value, Mapping))


def check_shape(value: object, shape: Shape, name: str = "") -> None:
    """Checks a value and all that it holds. Raises ValueError that names the first field that is wrong."""
    if isinstance(shape, ValueKind):
        if not shape.fits(value):
            raise ValueError(f"{name} is not {shape.name}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise ValueError(f"{name} is not a list")
        for each in value:
            check_shape(each, shape[0], f"a part of {name}")
    else:
        _check_fields(value, shape, name)


def _check_fields(value: object, shape: Mapping[str, Shape], name: str) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name or 'it'} is not an object")
    for field, inner in shape.items():
        key = field.removesuffix("?")
        whole = f"{key} of {name}" if name else key
        if value.get(key) is not None:
            check_shape(value[key], inner, whole)
        elif key == field:
            raise ValueError(f"it lacks {whole}")
