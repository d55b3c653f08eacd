"""`llave embed`: vectors of a user's own items."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError, counted
from llave.cli.flags import (
    DONE,
    MODEL_HELP,
    add_engine_flags,
    add_model_flags,
    add_patience_flag,
    add_root_flag,
    console,
    model_settings,
    say,
)

if TYPE_CHECKING:
    from rich.console import Console

    from harness.embed import Embedded

ABOUT = "write the vectors of your own items to a file"
_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave embed`."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "items",
        type=Path,
        metavar="ITEMS.jsonl",
        help="a file with an item on each line: id, text, image, video, content, instruction, role",
    )
    add = parser.add_argument_group("files").add_argument
    add("-o", "--output", type=Path, required=True, metavar="VECTORS.safetensors", help="the file to write")
    add(
        "--root",
        type=Path,
        metavar="DIR",
        help="folder that media paths are relative to (default: that of ITEMS.jsonl)",
    )
    add(
        "--on-bad-media",
        choices=("stop", "skip"),
        default="stop",
        help="what to do with images and videos that cannot be used",
    )
    add_root_flag(parser)
    add_patience_flag(add_engine_flags(parser))
    add_model_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Reads and checks all items, embeds what the store lacks and writes one file. Returns the exit status."""
    from harness.embed import EmbedSettings, embed_items, write_vectors
    from harness.encoding.distributed import join
    from harness.models import open_model
    from harness.results.files import check_writable
    from llave.api.console_progress import ProgressBar
    from llave.api.engine import worker_count
    from tasks.jsonl import read_items

    items = read_items(options.items, options.root, tuple(options.allow_root))
    _check_output(options.output)
    check_writable(options.output.parent)
    world = join(options.device, options.patience)
    workers = worker_count(options.workers)
    how = EmbedSettings(options.store, options.budget, workers, options.on_bad_media == "skip")
    notes = console(stderr=True, quiet=not world.is_main)
    with ProgressBar(notes) as progress:
        handle = open_model(options.model, model_settings(options), progress.note)
        embedded = embed_items(items, handle, how, progress, world)
    if embedded is not None:
        write_vectors(options.output, embedded, handle.spec)
        _report(embedded, handle.spec.name, options.output, notes)
    return DONE


def _check_output(path: Path) -> None:
    if path.suffix != ".safetensors" or path.is_dir():
        raise UserError(f"-o {path} is not the name of a .safetensors file.", "For example: -o vectors.safetensors.")


def _report(embedded: Embedded, model: str, path: Path, notes: Console) -> None:
    for name, why in list(embedded.skipped.items())[:_SHOWN]:
        say(notes, f"left out {name}: {why.what}")
    counts = {
        "left out for their media (their ids are in the file)": len(embedded.skipped),
        f"without some of their media, which {model} does not see": embedded.unseen,
        "longer than the model's limit, and cut": embedded.truncated,
    }
    for what, count in counts.items():
        if count:
            say(notes, f"{counted(count, 'item')} {what}.")
    count, width = embedded.vectors.shape
    say(notes, f"{model}: {counted(count, 'vector')} of width {width:,}; {embedded.encoded:,} encoded now.")
    say(console(), str(path))
