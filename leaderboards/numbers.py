"""Numbers as text, the same in every form of a table. They are rounded once, half up, from the full value."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

_SIGNIFICANT = 12
"""Digits that decide the rounding. A share such as 289 of 2,000 has a binary error after its 16th digit."""


def fixed(value: float, digits: int = 1) -> str:
    """The value with `digits` decimals, half away from zero. It is never `-0.0`. NaN prints as `nan`."""
    if not math.isfinite(value):
        return str(value)
    exact = Decimal(f"{value:.{_SIGNIFICANT}g}")
    rounded = exact.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    return f"{abs(rounded) if rounded == 0 else rounded:f}"


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction in percent: 0.0625 is `6.3`."""
    return fixed(100 * fraction, digits)


def points(difference: float, digits: int = 1) -> str:
    """A difference of fractions in points of percent, with its sign. One that rounds to zero is `0.0`."""
    text = percent(difference, digits)
    return f"+{text}" if difference > 0 and text.strip("0.") else text
