"""The command `llave tasks`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import counted, unknown_name
from llave.api.listings import task_fields
from llave.cli.flags import DONE, console

if TYPE_CHECKING:
    from harness.types import Task
    from leaderboards.tables import Table

ABOUT = "list tasks, or show one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave tasks`."""
    add = parser.add_argument
    add("name", nargs="?", metavar="TASK", help="show all fields of this task (default: list all tasks)")
    add("-s", "--suite", metavar="SUITE", help="only tasks of this suite (default: all)")
    add("--meta-task", metavar="NAME", help="only tasks of this meta-task, such as vqa (default: all)")
    add("--split", choices=("IND", "OOD"), help="in distribution or out of distribution (default: both)")
    add(
        "--modality",
        metavar="NAME",
        help="only tasks with this modality on either side: text, image or image+text (default: all)",
    )
    add("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Prints the tasks, or one task with all fields. Returns the exit status."""
    from tasks.catalog import all_tasks, resolve_tasks
    from tasks.suites import find_suite

    every = resolve_tasks(options.name) if options.name else tuple(all_tasks().values())
    members = find_suite(options.suite).tasks if options.suite else [task.name for task in every]
    chosen = select(
        [task for task in every if task.name in members], options.meta_task, options.split, options.modality
    )
    if options.json:
        print(json.dumps([task_fields(task) for task in chosen], indent=2))
    else:
        console().print(task_sheet(chosen[0]) if options.name and len(chosen) == 1 else task_list(chosen))
    return DONE


def select(tasks: Sequence[Task], meta_task: str | None, split: str | None, modality: str | None) -> list[Task]:
    """The tasks of a meta-task and a split, with a modality on either side. None stands for any.

    Raises: UserError for a meta-task or modality that no task has.
    """
    for kind, wanted, known in (
        ("meta-task", meta_task, {task.meta_task for task in tasks}),
        ("modality", modality, {side for task in tasks for side in (task.query_modality, task.target_modality)}),
    ):
        if wanted is not None and wanted not in known:
            names = sorted(name for name in known if name)
            raise unknown_name(kind, wanted, names, f"Choose from {', '.join(names) or 'none'}.")
    return [
        task
        for task in tasks
        if meta_task in (None, task.meta_task)
        and split in (None, task.split)
        and modality in (None, task.query_modality, task.target_modality)
    ]


def task_list(tasks: Sequence[Task]) -> Table:
    """A table with one row per task."""
    from leaderboards.tables import Cell, Table

    names = ("task", "meta-task", "split", "query", "target", "queries", "candidates")
    rows = tuple(
        (
            *(Cell(text or "-") for text in (task.name, task.meta_task, task.split)),
            *(Cell(text or "-") for text in (task.query_modality, task.target_modality)),
            *(Cell("-" if count is None else f"{count:,}") for count in (task.num_queries, task.num_candidates)),
        )
        for task in tasks
    )
    note = counted(len(rows), "task")
    return Table("", names, rows, frozenset(names[:5]), (note,), keep=names[:5], more="--json has all")


def task_sheet(task: Task) -> Table:
    """A table with all fields of one task; unknown ones are a dash."""
    from leaderboards.tables import Cell, Table

    rows = []
    for name, value in task_fields(task).items():
        shown = (", " if name == "metrics" else "\n").join(map(str, value)) if isinstance(value, list) else value
        rows.append((Cell(name.replace("_", " ")), Cell("-" if shown in (None, "") else str(shown))))
    names = ("field", "value")
    return Table(f"The task {task.name}", names, tuple(rows), frozenset(names), longest=None)
