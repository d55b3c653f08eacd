"""Settings of training under old names: the present name and the same meaning."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results.renamed import RENAMED, current_setting, current_settings


def test_values_are_unchanged_except_the_scale():
    saved = {name: [name] for name in RENAMED if name not in ("scale", "tensorboard")}
    assert current_settings(saved) == {RENAMED[name]: [name] for name in saved}
    assert current_settings({"alpha": 9.0, "scale": 50.0, "seed": 1}) == {"alpha": 9.0, "temperature": 0.02, "seed": 1}


@pytest.mark.parametrize(
    ("scale", "temperature"),
    [(20.0, 0.05), (50, 0.02), ("50", "0.02"), ("x", "x"), (0, 0), ("0", "0"), (None, None), ([], []), ("inf", "0.0")],
)
def test_a_temperature_is_one_over_the_scale_and_what_is_no_scale_is_left_for_its_reader(scale, temperature):
    assert current_setting("scale", scale) == ("temperature", temperature)


@given(st.integers(1, 10_000))
def test_the_inverse_of_the_inverse_is_the_scale_in_single_precision(scale: int):
    """So a run that is resumed under the new name computes the same loss."""
    _, temperature = current_setting("scale", float(scale))
    assert math.isclose(1 / temperature, scale, rel_tol=2**-50)
