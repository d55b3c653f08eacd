"""Options as a user writes them."""

from __future__ import annotations

import pytest

from harness.errors import UserError
from harness.models.llave_options import LlaveOptions, parse_options


def test_options_are_read():
    assert parse_options({}) == LlaveOptions()
    given = {"max_length": "8192", "grid": "6x4", "fps": "0.5", "frames": "16", "query_instruction": "Find: "}
    assert parse_options(given) == LlaveOptions(8192, (6, 4), 0.5, 16, "Find: ")
    assert parse_options({"target_instruction": ""}).target_instruction == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_length", "0"), ("max_length", "many"), ("frames", "2.5"), ("frames", "-1"), ("fps", "nan"), ("fps", "0")]
    + [("grid", each) for each in ("2", "2x", "x2", "0x2", "2x2x2", "")],
)
def test_nonsense_is_refused_by_name(name, value):
    with pytest.raises(UserError, match=name):
        parse_options({name: value})


def test_an_unknown_option_is_met_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean frames"):
        parse_options({"frame": "8"})
