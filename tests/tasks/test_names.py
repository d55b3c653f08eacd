"""Names of tasks."""

from __future__ import annotations

import pytest

from tasks.names import parse_name


@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_scope_is_taken_off_once(scope: str) -> None:
    assert parse_name(f"MSCOCO_t2i@{scope}") == ("MSCOCO_t2i", scope, False)
    assert parse_name(f"a@b@{scope}") == ("a@b", scope, False)
    assert parse_name(f"a@b@{scope}").task == "a@b"


def test_a_clustering_is_a_task_of_its_own() -> None:
    found = parse_name("a@b@clustering")
    assert found == ("a@b", None, True)
    assert found.task == "a@b@clustering"


@pytest.mark.parametrize("name", ["MSCOCO_t2i", "a@b", "global", "x@Global", "x@"])
def test_any_other_name_is_a_dataset(name: str) -> None:
    assert parse_name(name) == (name, None, False)
