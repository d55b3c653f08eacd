"""Numbers as text: one rounding, the same on both sides of 0, and never a negative zero."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results.numbers import fixed, grouped, percent, points, signed, significant

ROOT = Path(__file__).resolve().parents[3]


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


@given(st.floats(1e-12, 1e12), st.integers(1, 6))
def test_significant_digits_agree_with_decimal_arithmetic(value: float, digits: int) -> None:
    exact = Decimal(f"{value:.12g}")
    expected = exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), rounding=ROUND_HALF_UP)
    assert Decimal(significant(value, digits)) == expected


def test_examples_of_the_other_forms() -> None:
    assert [significant(value) for value in (0, 0.0125, 1e-5, 12.5, math.inf)] == ["0", "0.013", "1e-05", "13", "inf"]
    assert [grouped(value) for value in (999.5, 1234567, math.nan)] == ["1,000", "1,234,567", "nan"]
    assert grouped(1234.25, 1) == "1,234.3"
    assert [signed(value, 3) for value in (0.0005, -0.0005, 0.0001)] == ["+0.001", "-0.001", "0.000"]


def _own_roundings(path: Path) -> Iterator[str]:
    """The places of a file that turn a number into rounded text by themselves."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        form = ""
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            form = "".join(each.value for each in ast.walk(node.format_spec) if isinstance(each, ast.Constant))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "format":
            form = "".join(str(each.value) for each in node.args[1:] if isinstance(each, ast.Constant))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant):
            form = str(node.left.value) if re.search(r"%[-+ 0-9.]*[fe]", str(node.left.value)) else ""
        if re.search(r"\.\d+[feg%]$|[fe%]$", form, re.IGNORECASE) and not form.startswith("%Y"):
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {form}"


def test_the_one_formatter_rounds_every_number_that_is_printed() -> None:
    files = [path for package in ("leaderboards", "llave") for path in (ROOT / package).rglob("*.py")]
    found = {path: list(_own_roundings(path)) for path in files}
    assert list(_own_roundings(ROOT / "harness" / "results" / "numbers.py"))  # so the search finds what it looks for
    assert [line for lines in found.values() for line in lines] == []
