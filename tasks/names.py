"""Names of tasks: a dataset's name, then `@local` or `@global` where the candidate scope is not the registered one."""

from __future__ import annotations

from typing import NamedTuple

from harness.types import Scope


class TaskName(NamedTuple):
    """A name taken apart."""

    dataset: str
    scope: Scope | None
    """None: as the task is registered."""


def parse_name(name: str) -> TaskName:
    """`MSCOCO_t2i@global` is the dataset MSCOCO_t2i with global scope."""
    scopes: tuple[Scope, ...] = ("local", "global")
    for scope in scopes:
        if name.endswith(f"@{scope}"):
            return TaskName(name.removesuffix(f"@{scope}"), scope)
    return TaskName(name, None)
