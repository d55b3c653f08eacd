"""Numbers as text, the same in every form of a table. They are rounded once, half up, from the full value."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal

_SIGNIFICANT = 12
"""Digits that decide the rounding. A share such as 289 of 2,000 has a binary error after its 16th digit."""
_WIDE = Context(prec=400)
"""Room for every digit of the largest float."""


def fixed(value: float, digits: int = 1) -> str:
    """The value with `digits` decimals, half away from zero. It is never `-0.0`. NaN prints as `nan`."""
    if not math.isfinite(value):
        return str(value)
    exact = Decimal(f"{value:.{_SIGNIFICANT}g}")
    rounded = exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, _WIDE)
    return f"{abs(rounded) if rounded == 0 else rounded:f}"


def signed(value: float, digits: int = 1) -> str:
    """The value with `digits` decimals and its sign. One that rounds to zero is `0.0`."""
    text = fixed(value, digits)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def grouped(value: float, digits: int = 0) -> str:
    """The value with `digits` decimals and with commas between thousands."""
    return f"{Decimal(fixed(value, digits)):,f}" if math.isfinite(value) else str(value)


def significant(value: float, digits: int = 2) -> str:
    """The value with so many significant digits: 0.0123 with two is `0.012`. A tiny one has an exponent."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    exact = Decimal(f"{value:.{_SIGNIFICANT}g}")
    place = exact.adjusted() - digits + 1
    rounded = exact.quantize(Decimal(1).scaleb(place), rounding=ROUND_HALF_UP)
    plain = f"{rounded:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return plain if abs(rounded) >= Decimal("0.0001") else f"{float(rounded):g}"


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction in percent: 0.0625 is `6.3`."""
    return fixed(100 * fraction, digits)


def points(difference: float, digits: int = 1) -> str:
    """A difference of fractions in points of percent, with its sign."""
    return signed(100 * difference, digits)
