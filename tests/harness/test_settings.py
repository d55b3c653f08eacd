"""One parser of NAME=VALUE: what it takes, what it refuses, and that every value comes back as written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UserError
from harness.settings import ReadAs, pairs_of, read_settings, whole


def _size(text: str) -> tuple[int, int]:
    columns, _, rows = text.partition("x")
    return int(columns), int(rows)


@dataclass(frozen=True, slots=True)
class Some:
    number: int = 1
    share: float = 0.5
    word: str = ""
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    maybe: int | None = None
    many: tuple[int, ...] = ()
    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    least: Annotated[int, whole(3)] = 3
    size: Annotated[tuple[int, int] | None, ReadAs(_size)] = None
    hidden: str = "h"


def read(**given: str) -> Some:
    return read_settings(Some(), given, "setting", leave_out=("hidden",))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("number", "-4", -4),
        ("share", "1e-3", 0.001),
        ("word", "a=b", "a=b"),
        ("flag", "True", True),
        ("kind", "b", "b"),
        ("maybe", "None", None),
        ("maybe", "7", 7),
        ("many", "1,2,3", (1, 2, 3)),
        ("many", "", ()),
        ("weights", "A:2,B:C:0.5", {"A": 2.0, "B:C": 0.5}),
        ("least", "3", 3),
        ("size", "6x4", (6, 4)),
    ],
)
def test_a_value_is_read_by_the_type_of_its_field(name: str, text: str, value: object) -> None:
    found = read(**{name: text})
    assert getattr(found, name) == value
    assert type(getattr(found, name)) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("number", "1.5", "whole number"),
        ("share", "x", "Write a number"),
        ("flag", "yes", "true, false"),
        ("kind", "c", "a, b"),
        ("maybe", "x", "whole number"),
        ("many", "1,x", "whole number"),
        ("weights", "A", "number"),
        ("least", "2", "from 3"),
        ("least", "٣", "from 3"),
        ("least", "1000000000", "from 3"),
        ("size", "6", ""),
    ],
)
def test_a_value_of_no_use_is_refused_by_name(name: str, text: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        read(**{name: text})
    assert f"{name} cannot be {text!r}" in caught.value.what
    assert hint in caught.value.hint


def test_unknown_names_are_refused_and_close_ones_offered() -> None:
    with pytest.raises(UserError, match="no setting named 'numbr'") as caught:
        read(numbr="1")
    assert "number" in caught.value.hint
    with pytest.raises(UserError, match="hidden"):
        read(hidden="x")


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: "=" not in name), st.text()))
def test_pairs_come_back_as_written(pairs: dict[str, str]) -> None:
    assert pairs_of([f"{name}={value}" for name, value in pairs.items()], "--set", "a=b") == pairs


@pytest.mark.parametrize("text", ["", "a", "=b"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--set .* is not of the form NAME=VALUE"):
        pairs_of([text], "--set", "a=b")


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="--set gives a twice"):
        pairs_of(["a=1", "a=2"], "--set", "a=b")
