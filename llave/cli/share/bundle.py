"""The command `llave bundle`."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.errors import UserError, counted
from llave.cli.flags import DONE, console, say

ABOUT = "pack results into one file, which `llave board` and `llave validate` open anywhere"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave bundle`."""
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RESULTS", help="results, imported scores, or folders of them")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write, with the ending .zip")
    add("--pictures", action="store_true", help="add small pictures of the queries and candidates")
    add(
        "--images",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of the pictures, if they were moved since the run; may be repeated (default: none)",
    )


def run(options: argparse.Namespace) -> int:
    """Writes the bundle. Returns the exit status."""
    from leaderboards.submission.bundle import write_bundle

    if options.images and not options.pictures:
        raise UserError("--images needs --pictures.", "Add --pictures.")
    made = write_bundle(options.output, options.results, pictures=options.pictures, images=options.images)
    for note in made.notes:
        say(console(stderr=True), f"warning: {note}")
    parts = [
        counted(made.results, "result"),
        counted(made.imported, "imported row"),
    ]
    parts += [counted(made.pictures, "picture")] if options.pictures else []
    say(console(), f"Bundle: {options.output} ({', '.join(parts)})")
    return DONE
