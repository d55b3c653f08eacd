"""The command `llave bundle`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError, counted
from harness.files.paths import STORE
from llave.cli.board import add_images_flag
from llave.cli.flags import DONE, add_data_flags, console, say, tasks_of

if TYPE_CHECKING:
    from leaderboards.submission.bundle import Vectors

ABOUT = "pack results into one file, which `llave board` and `llave validate` open anywhere"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave bundle`."""
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RESULTS", help="results, imported scores, or folders of them")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write, with the ending .zip")
    add("--pictures", action="store_true", help="add small pictures of the queries and candidates")
    add("--vectors", action="store_true", help="add the vectors of queries and targets, from the store")
    add_images_flag(parser)
    add_data_flags(group := parser.add_argument_group("data of the vectors"), images=False)
    group.add_argument("--store", type=Path, metavar="DIR", default=STORE, help="folder of the embedding store")


def run(options: argparse.Namespace) -> int:
    """Writes the bundle. Returns the exit status."""
    from leaderboards.submission.bundle import write_bundle

    if options.images and not (options.pictures or options.vectors):
        raise UserError("--images needs --pictures or --vectors.", "Add --pictures.")
    if options.data and not options.vectors:
        raise UserError("--data needs --vectors.", "Add --vectors.")
    vectors = _vectors(options) if options.vectors else None
    made = write_bundle(
        options.output, options.results, pictures=options.pictures, images=options.images, vectors=vectors
    )
    for note in made.notes:
        say(console(stderr=True), f"warning: {note}")
    parts = [
        counted(made.results, "result"),
        counted(made.imported, "imported row"),
    ]
    parts += [counted(made.pictures, "picture")] if options.pictures else []
    parts += [f"vectors of {counted(made.vectors, 'result')}"] if options.vectors else []
    say(console(), f"Bundle: {options.output} ({', '.join(parts)})")
    return DONE


def _vectors(options: argparse.Namespace) -> Vectors:
    """What gives the vectors of a result. It reads each dataset once."""
    from harness.data.cache import DatasetCache
    from harness.media.digests import Digests
    from harness.progress import NoProgress
    from leaderboards.analysis.stored import vectors_of
    from llave.api.engine import worker_count

    cache = DatasetCache(Digests(), NoProgress(), worker_count(None))
    images = next(iter(options.images), None)
    return lambda record: vectors_of(
        record.result, tasks_of(options, [record.result.task], images)[record.result.task], options.store, cache
    )
