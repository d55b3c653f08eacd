"""Names of tasks: a dataset, and its scope if that is not the registered one: `@local`, `@global`, `@union`."""

from __future__ import annotations

from typing import NamedTuple

from harness.types import Scope


class TaskName(NamedTuple):
    """The parts of a task's name."""

    dataset: str
    scope: Scope | None
    """The scope in the name. None: the registered scope."""


def is_variant(name: str) -> bool:
    """Whether a task ranks other candidates than the registered ones: `MSCOCO_t2i@global` does."""
    return parse_name(name).scope is not None


def parse_name(name: str) -> TaskName:
    """Splits a task's name. `MSCOCO_t2i@global` is the dataset MSCOCO_t2i with global scope."""
    scopes: tuple[Scope, ...] = ("local", "global", "union")
    for scope in scopes:
        if name.endswith(f"@{scope}"):
            return TaskName(name.removesuffix(f"@{scope}"), scope)
    return TaskName(name, None)
