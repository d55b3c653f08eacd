"""The scope `union`: a task's queries rank the targets of several tasks, from the vectors that these need anyway."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from harness.errors import UserError, counted
from harness.types import DataInfo, IndexArray, Task, TaskData

_NOTHING: IndexArray = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class UnionSource:
    """The rows of `own`, with the targets of all `members`. A target that several tasks have is one target.

    A right target keeps its modality: one of another modality that means the same is wrong, as in M-BEIR's union pool.
    """

    own: Task
    members: tuple[Task, ...]
    """The tasks whose targets make the pool, sorted by name, and the own one among them."""

    def describe(self) -> str:
        """Says where the data comes from, in one line."""
        return f"{self.own.source.describe()}, ranked among the targets of {counted(len(self.members), 'task')}"

    def info(self, task: Task) -> DataInfo:  # noqa: ARG002 -- the own task is the task
        """Names the files of all members. Raises: UserError as their sources do."""
        infos = [each.source.info(each) for each in self.members]
        own = self.own.source.info(self.own)
        named = [f"{each.name} {info.content}" for each, info in zip(self.members, infos, strict=True)]
        places = {root for info in infos for root in (*info.roots, info.media_root) if root is not None}
        return replace(
            own,
            files=tuple(dict.fromkeys(chain.from_iterable(info.files for info in infos))),
            content="\n".join(["union", *named]),
            roots=tuple(sorted(places)),
        )

    def load(self, task: Task) -> TaskData:  # noqa: ARG002 -- the own task is the task
        """Reads the rows of all members. Raises: UserError as their sources do, and for groups of targets."""
        loaded = {each.name: each.source.load(each) for each in self.members}
        for name, data in loaded.items():
            if data.groups:
                raise UserError(f"{name} groups its targets, so it has no union with others.", "Leave it out.")
        own = loaded[self.own.name]
        targets = dict.fromkeys(own.targets)
        for data in loaded.values():
            targets |= dict.fromkeys(data.targets)
        queries = tuple(replace(query, candidates=_NOTHING) for query in own.queries)
        notes = {**own.notes, "targets_of_other_tasks": len(targets) - len(own.targets)}
        return replace(own, queries=queries, targets=tuple(targets), notes=notes)


def in_union(task: Task, others: tuple[Task, ...]) -> Task:
    """Returns a task with the targets of itself and others as its pool. Raises: UserError if there are no others."""
    members = {each.name: each for each in (task, *others)}
    odd = next((each for each in members.values() if each.query_role != task.query_role), None)
    if odd is not None:
        what = f"{odd.name} embeds its targets as queries, and {task.name} does not, so they have no union."
        raise UserError(what, "Name the tasks of one direction with @union.")
    if len(members) == 1:
        what = f"{task.name}@union is only {task.name}@global: there is no other task."
        raise UserError(what, "Name several tasks with @union, or a suite or a folder of several tasks.")
    source = UnionSource(task, tuple(members[name] for name in sorted(members)))
    return replace(task, name=f"{task.name}@union", scope="union", source=source)
