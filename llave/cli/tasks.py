"""`llave tasks`."""

from __future__ import annotations

import argparse
import json

from llave.cli.flags import DONE, console

ABOUT = "list tasks, or show one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", nargs="?", help="show this task whole")
    add("--suite", help="only those of a suite")
    add("--meta-task", help="only those of a meta-task, such as vqa")
    add("--split", choices=("IND", "OOD"), help="only in-distribution or out-of-distribution")
    add("--modality", help="only those with this modality on either side: text, image or image+text")
    add("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """`llave tasks`."""
    from llave.cli.listings import select, task_fields, task_list, task_sheet
    from tasks.catalog import all_tasks, resolve_tasks
    from tasks.suites import find_suite

    every = resolve_tasks(options.name) if options.name else tuple(all_tasks().values())
    members = find_suite(options.suite).tasks if options.suite else [task.name for task in every]
    chosen = select(
        [task for task in every if task.name in members], options.meta_task, options.split, options.modality
    )
    if options.json:
        print(json.dumps([task_fields(task) for task in chosen], indent=2, ensure_ascii=False))
    else:
        console().print(task_sheet(chosen[0]) if options.name and len(chosen) == 1 else task_list(chosen))
    return DONE
