"""The command `llave models`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llave.api.listings import model_fields
from llave.cli.flags import DONE, console

if TYPE_CHECKING:
    from harness.types import ModelRow
    from leaderboards.tables import Table

ABOUT = "list models, and how far each is verified"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave models`."""
    add = parser.add_argument
    add("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Prints the models. Returns the exit status."""
    from harness.models import ROWS, installed_rows

    rows = [*ROWS, *installed_rows()]
    if options.json:
        print(json.dumps([model_fields(row) for row in rows], indent=2))
    else:
        console().print(model_list(rows))
    return DONE


def model_list(rows: Sequence[ModelRow]) -> Table:
    """A table with one row per model or family of models."""
    from leaderboards.tables import Cell, Table

    names = ("model", "what it is", "modalities", "several media", "verified by")
    cells = tuple(
        (
            Cell(f"{row.name}NAME-OR-FOLDER" if row.name.endswith("/") else row.name),
            Cell(row.summary),
            Cell(", ".join(row.modalities)),
            Cell(" or ".join(row.several_media)),
            Cell(row.verified),
        )
        for row in rows
    )
    return Table("", names, cells, frozenset(names), longest=None)
