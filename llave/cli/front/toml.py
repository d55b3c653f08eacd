"""Plain data as TOML, which the standard library reads but does not write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "str | int | float | bool | Sequence[Value] | Mapping[str, Value]"


def dumps(fields: Mapping[str, Value]) -> str:
    """The fields as TOML: plain values in their order, then each mapping as a table."""
    plain = [f"{_key(key)} = {_value(value)}" for key, value in fields.items() if not isinstance(value, Mapping)]
    tables = [
        "\n".join((f"\n[{_key(key)}]", *(f"{_key(name)} = {_value(each)}" for name, each in value.items())))
        for key, value in fields.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join((*plain, *tables)) + "\n"


def _key(name: str) -> str:
    plain = name and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name)
    return name if plain else _value(name)


def _value(value: Value) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items()) + " }"
    if isinstance(value, str):  # JSON's escapes are TOML's, but TOML has one control character more
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)
