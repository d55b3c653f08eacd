"""Numbers as text: one rounding, the same on both sides of 0, and never a negative zero."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.numbers import fixed, percent, points


@given(st.integers(1, 5000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_a_share_is_rounded_half_up_from_its_exact_value(share: tuple[int, int]) -> None:
    exact = Fraction(1000 * share[0], share[1]) + Fraction(1, 2)
    tenths = exact.numerator // exact.denominator
    assert percent(share[0] / share[1]) == f"{tenths // 10}.{tenths % 10}"


@given(st.floats(-1, 1))
def test_a_difference_and_its_mirror_image_differ_only_in_the_sign(value: float) -> None:
    one, other = points(value), points(-value)
    assert one.lstrip("+-") == other.lstrip("+-")
    assert (one[0], other[0]) in {("+", "-"), ("-", "+")} or one == other == "0.0"


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_rounding_agrees_with_decimal_arithmetic(value: float, digits: int) -> None:
    expected = Decimal(f"{value:.12g}").quantize(Decimal(10) ** -digits, rounding=ROUND_HALF_UP)
    assert Decimal(fixed(value, digits)) == expected


@pytest.mark.parametrize(
    ("value", "text"), [(0.0625, "6.3"), (0.0615, "6.2"), (289 / 2000, "14.5"), (-0.0004, "0.0"), (1.0, "100.0")]
)
def test_examples(value: float, text: str) -> None:
    assert percent(value) == text


def test_what_is_not_finite_prints_as_itself() -> None:
    assert (fixed(math.nan), fixed(-math.inf)) == ("nan", "-inf")
