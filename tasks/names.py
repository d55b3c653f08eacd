"""Names of tasks: the name of a dataset, and what is done with it if that is not registered.

`@local`, `@global` and `@union` are another scope. `@clustering` is the task of sorting its queries by their labels.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.types import Scope

CLUSTERING = "@clustering"


class TaskName(NamedTuple):
    """The parts of a task's name."""

    dataset: str
    scope: Scope | None
    """The scope in the name. None: the registered scope."""
    clustering: bool = False

    @property
    def task(self) -> str:
        """The name of the task with its registered scope."""
        return f"{self.dataset}{CLUSTERING}" if self.clustering else self.dataset


def is_variant(name: str) -> bool:
    """Whether a task ranks other candidates than the registered ones: `MSCOCO_t2i@global` does."""
    return parse_name(name).scope is not None


def parse_name(name: str) -> TaskName:
    """Splits a task's name. `MSCOCO_t2i@global` is the dataset MSCOCO_t2i with global scope."""
    if name.endswith(CLUSTERING):
        return TaskName(name.removesuffix(CLUSTERING), None, clustering=True)
    scopes: tuple[Scope, ...] = ("local", "global", "union")
    for scope in scopes:
        if name.endswith(f"@{scope}"):
            return TaskName(name.removesuffix(f"@{scope}"), scope)
    return TaskName(name, None)
