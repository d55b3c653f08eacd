"""The command `llave import`."""

from __future__ import annotations

import argparse
from pathlib import Path

from llave.cli.flags import DONE, FAILED, complain, console, say

ABOUT = "read scores from files of public leaderboards, of mteb, of the hub and of other projects"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave import`."""
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="score files, or folders of them")
    add(
        "-o",
        "--out",
        type=Path,
        metavar="DIR",
        default=Path("runs/imported"),
        help="folder to write to",
    )
    add("--model", metavar="NAME", help="name of the model, if the files do not have it (default: theirs)")


def run(options: argparse.Namespace) -> int:
    """Imports the scores. Returns 1 if a file cannot be read."""
    from leaderboards.exchange.files import write_imported
    from leaderboards.exchange.reading import read_scores

    read = read_scores(options.files, options.model)
    for imported in read.imported:
        say(console(), f"{imported.model}: {write_imported(options.out, imported)}")
    for error in read.errors:
        complain(error)
    return FAILED if read.errors else DONE
