"""The command `llave suites`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llave.api.listings import suite_fields
from llave.cli.flags import DONE, console

if TYPE_CHECKING:
    from leaderboards.tables import Table

ABOUT = "list suites, with their numbers of tasks and what each needs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave suites`."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Prints the suites. Returns the exit status."""
    from tasks.catalog import all_tasks
    from tasks.suites import suites

    known = all_tasks()
    rows = [suite_fields(suite, known) for suite in suites().values()]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        console().print(suite_list(rows))
    return DONE


def suite_list(rows: Sequence[dict[str, object]]) -> Table:
    """A table with one row per suite."""
    from leaderboards.tables import Cell, Table

    names = ("suite", "tasks", "meta-tasks", "what it is", "needs")
    fields = ("name", "tasks", "meta_tasks", "summary", "needs")
    cells = tuple(tuple(Cell(_text(row[field])) for field in fields) for row in rows)
    note = "`llave tasks --suite NAME` lists the tasks of one"
    return Table("", names, cells, frozenset({"suite", "what it is", "needs"}), (note,), longest=None)


def _text(value: object) -> str:
    return str(len(value)) if isinstance(value, list) else str(value)
