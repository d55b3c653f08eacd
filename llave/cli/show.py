"""The command `llave show`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from llave.cli.flags import DONE, console, natural, say

if TYPE_CHECKING:
    from rich.console import Console

ABOUT = "show a result and its worst queries, or list the results of a folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave show`."""
    add = parser.add_argument
    add("result", type=Path, metavar="RESULT", help="a file OUT/<model>/<revision>/<task>.json, or a folder of results")
    add("--worst", type=natural, default=10, metavar="N", help="number of worst queries to show")


def run(options: argparse.Namespace) -> int:
    """Prints a result and its worst queries, or the results of a folder. Returns the exit status."""
    from leaderboards.result_list import check_is_result, result_list

    if options.result.is_dir():
        console().print(result_list(options.result))
    else:
        check_is_result(options.result)
        _show(options.result, options.worst, console())
    return DONE


def _show(path: Path, worst: int, screen: Console) -> None:
    from harness.results.rows import read_rows
    from harness.results.verified import read_result
    from leaderboards.run_table import query_table, result_table

    result = read_result(path).result
    screen.print(result_table(result))
    if worst:
        screen.print(query_table(read_rows(path, result), worst))
    for bad in result.bad_media:
        say(screen, f"Bad media, counted as wrong: {bad['why']}")
