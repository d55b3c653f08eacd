"""What a user may give as tasks: names, suites, folders, files and `Task` objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from harness.errors import UnknownName, UserError, counted
from harness.types import Task
from llave.words.answer import answering

if TYPE_CHECKING:
    from tasks.suites import Suite

Tasks: TypeAlias = str | Path | Task | Sequence[str | Path | Task]
"""Names of tasks and suites with commas between, a folder, a .jsonl file, a `Task`, or a list of these."""


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """The tasks to evaluate, each once, and the suite whose means are shown."""

    tasks: tuple[Task, ...]
    suite: Suite


@answering()
def choose_tasks(
    given: Tasks,
    data: str | Path | None = None,
    images: str | Path | None = None,
    allow_roots: Sequence[str | Path] = (),
    columns: Mapping[str, str] | None = None,
) -> TaskChoice:
    """The tasks that a user names, in order.

    Args:
        given: see `Tasks`. A name that is a task or a suite is not looked for on the disk.
        data: a folder, a .jsonl file or a table, which the named tasks are read from; `all` means all of it.
        images: what image paths are relative to.
        allow_roots: other folders that links in the data may lead into.
        columns: columns of the data with names of their own.

    Raises:
        UserError: for a name that is no task, suite, folder or file, and for two different tasks of one name.
    """
    from tasks.catalog import resolve_tasks
    from tasks.suites import find_suite, suite_of, suites

    names = [part for each in _listed(given) for part in _parts(each)]
    named = [each for each in names if isinstance(each, str)]
    known = suites() if named else {}
    roots = tuple(map(Path, allow_roots))
    chosen: list[Task] = []
    for each in names:
        if isinstance(each, Task):
            chosen.append(each)
        elif isinstance(each, Path):
            chosen += resolve_tasks(data=each, images=_path(images), roots=roots, columns=columns)
        elif each in known:
            chosen += resolve_tasks(suite=each, data=_path(data), images=_path(images), roots=roots)
        elif data is not None:
            chosen += resolve_tasks(each, data=_path(data), images=_path(images), roots=roots, columns=columns)
        else:
            chosen += _by_name(each, _path(images), roots)
    if not chosen:
        raise UserError("There is nothing to evaluate.", "Name a task or a suite, such as 'demo'.")
    tasks = _unique(chosen)
    only = named[0] if len(names) == 1 and named and named[0] in known else None
    count = f"{counted(len(tasks), 'task')}"
    return TaskChoice(tasks, find_suite(only) if only else suite_of("these", count, tasks))


def _listed(given: Tasks) -> Sequence[str | Path | Task]:
    return [given] if isinstance(given, str | Path | Task) else given


def _parts(given: str | Path | Task) -> Sequence[str | Path | Task]:
    """The names between commas. A string that is a path with a comma in it is one name."""
    if not isinstance(given, str) or Path(given).exists():
        return [given]
    return [part.strip() for part in given.split(",") if part.strip()]


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


def _by_name(name: str, images: Path | None, roots: tuple[Path, ...]) -> Sequence[Task]:
    from tasks.catalog import all_tasks, resolve_tasks
    from tasks.hub_set import hub_set
    from tasks.names import parse_name
    from tasks.suites import suites

    known = all_tasks()
    if parse_name(name).dataset in known:
        return resolve_tasks(name)
    path = Path(name)
    if path.exists() or hub_set(path):
        return resolve_tasks(data=path, images=images, roots=roots)
    where = "`llave.tasks()` lists tasks; a folder or a .jsonl file of your own may be named too."
    what = f"There is no task, suite, folder or file named {name!r}."
    raise UnknownName("task", name, what, where, [*known, *suites()])


def _unique(tasks: Sequence[Task]) -> tuple[Task, ...]:
    found: dict[str, Task] = {}
    for task in tasks:
        if found.setdefault(task.name, task) != task:
            raise UserError(f"Two different tasks are named {task.name}.", "Give one of them another name.")
    return tuple(found.values())
