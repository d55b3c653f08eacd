"""Names of tasks."""

from __future__ import annotations

import pytest

from tasks.names import parse_name


@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_scope_is_taken_off_once(scope: str) -> None:
    assert parse_name(f"MSCOCO_t2i@{scope}") == ("MSCOCO_t2i", scope)
    assert parse_name(f"a@b@{scope}") == ("a@b", scope)


@pytest.mark.parametrize("name", ["MSCOCO_t2i", "a@b", "global", "x@Global", "x@"])
def test_any_other_name_is_a_dataset(name: str) -> None:
    assert parse_name(name) == (name, None)
