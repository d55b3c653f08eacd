"""The training data that models declare, from `training.json`, with sources. What nobody states stays unknown.

A declaration says what a model was trained on, not which queries it has seen: `llave contamination` looks for those.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

from harness.files.reading import read_object


class _Set(TypedDict):
    name: str
    tasks: list[str] | None
    source: str


class _Model(TypedDict):
    names: list[str]
    sets: list[str]
    source: str


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A training set. `tasks` are those whose training split it has; None if that is not known."""

    name: str
    tasks: frozenset[str] | None
    source: str


@dataclass(frozen=True, slots=True)
class DeclaredTraining:
    """The training sets that a model declares, and where."""

    sets: tuple[TrainingSet, ...]
    source: str

    def sets_of(self, task: str) -> list[str]:
        """The names of the sets that have the training split of a task."""
        return [each.name for each in self.sets if each.tasks and task in each.tasks]

    def line(self, tasks: Collection[str]) -> str:
        """The sets, and for how many of these tasks they have the training split. `zero-shot` if for none."""
        seen = sum(bool(self.sets_of(task)) for task in tasks)
        open_ended = any(each.tasks is None for each in self.sets)
        share = f"{seen}{' or more' if open_ended else ''} of {len(tasks)}" if seen or open_ended else "zero-shot"
        return f"{', '.join(each.name for each in self.sets)}: {share}"


def declared_training(model: str) -> DeclaredTraining | None:
    """What a model declares, by its name: `LLaVE-2B`, `zhibinlan/LLaVE-2B` or `vlm/RECIPE=...`. None if unknown."""
    plain, recipe = model.casefold(), model.casefold().partition("=")[0]
    tails = (plain, plain.rpartition("/")[2], recipe.rpartition("/")[2])
    found = (known for pattern, known in _known().items() if any(map(pattern.fullmatch, tails)))
    return next(found, None)


@cache
def _known() -> Mapping[re.Pattern[str], DeclaredTraining]:
    """The declarations by the names of models, in lower case."""
    content = read_object(Path(__file__).with_name("training.json"))
    sets = {
        each["name"]: TrainingSet(
            each["name"], None if each["tasks"] is None else frozenset(each["tasks"]), each["source"]
        )
        for each in cast("list[_Set]", content["sets"])
    }
    return {
        re.compile(name): DeclaredTraining(tuple(sets[each] for each in model["sets"]), model["source"])
        for model in cast("list[_Model]", content["models"])
        for name in model["names"]
    }
