"""The command `llave show`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from llave.cli.flags import DONE, console, natural, say

if TYPE_CHECKING:
    from harness.results.files import Result

ABOUT = "show a result and its worst queries"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave show`."""
    add = parser.add_argument
    add("result", type=Path, metavar="RESULT", help="a result file, OUT/<model>/<revision>/<task>.json")
    add("--worst", type=natural, default=10, metavar="N", help="number of worst queries to show")


def run(options: argparse.Namespace) -> int:
    """Prints a result and its worst queries. Returns the exit status."""
    from harness.results.files import load_result, load_rows
    from leaderboards.run_table import query_table, result_table

    result: Result = load_result(options.result)
    screen = console()
    screen.print(result_table(result))
    if options.worst:
        screen.print(query_table(load_rows(options.result, result), options.worst))
    for bad in result.bad_media:
        say(screen, f"Bad media, counted as wrong: {bad['why']}")
    return DONE
