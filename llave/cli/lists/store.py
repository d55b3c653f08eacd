"""The command `llave store`: whose vectors are stored, whether they can be read, and their removal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError, counted
from harness.files.paths import STORE
from llave.cli.flags import DONE, FAILED, complain, console, say

if TYPE_CHECKING:
    from harness.encoding.stored_models import StoredModel
    from leaderboards.tables import Table

ABOUT = "list, measure, check or remove stored vectors"
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave store`."""
    add = parser.add_argument
    add(
        "action",
        choices=("list", "size", "check", "prune"),
        metavar="ACTION",
        help="list: models with their numbers of vectors; size: bytes; check: read every vector; prune: remove models",
    )
    add("models", nargs="*", metavar="MODEL", help="a name or folder that `llave store list` shows (default: all)")
    add("--store", type=Path, metavar="DIR", default=Path(STORE), help="folder of the embedding store")
    add("--dry-run", action="store_true", help="only say what prune would remove")
    add("--json", action="store_true", help="print JSON instead of a table")


def run(options: argparse.Namespace) -> int:
    """Does one of the four. Returns the exit status: 1 if `check` finds damage."""
    from harness.encoding.stored_models import remove, stored_models

    if options.action == "prune" and not options.models:
        raise UserError("prune needs the models to remove.", "`llave store list` shows them.")
    if options.dry_run and options.action != "prune":
        raise UserError(f"--dry-run means nothing to {options.action}, which removes nothing.", "Leave it out.")
    models = stored_models(options.store, options.models, check=options.action == "check")
    if options.json:
        print(json.dumps([_fields(model) for model in models], indent=2, ensure_ascii=False))
    else:
        console().print(_by_name(models) if options.action == "size" else _by_folder(models))
    notes = console(stderr=True)
    if options.action == "prune":
        for model in () if options.dry_run else models:
            remove(model)
            say(notes, f"Removed {model.folder}.")
        return DONE
    damaged = [error for model in models for error in model.damaged]
    for error in damaged:
        complain(error)
    if options.action == "check" and not damaged:
        say(notes, "Every vector was read, and no file is damaged.")
    return FAILED if options.action == "check" and damaged else DONE


def _fields(model: StoredModel) -> dict[str, object]:
    """A model as plain data."""
    return {
        "name": model.name,
        "revision": model.revision,
        "folder": str(model.folder),
        "vectors": model.vectors,
        "bytes": model.bytes,
        "damaged": [error.what for error in model.damaged],
    }


def _by_folder(models: Sequence[StoredModel]) -> Table:
    """A table with one row per model, revision and set of options."""
    from leaderboards.tables import Cell, Table

    names = ("model", "revision", "vectors", "size", "folder")
    rows = tuple(
        tuple(map(Cell, (each.name, each.revision or "-", f"{each.vectors:,}", _size(each.bytes), each.folder.name)))
        for each in models
    )
    return Table("", names, rows, frozenset({"model", "revision", "folder"}), (_total(models),), longest=None)


def _by_name(models: Sequence[StoredModel]) -> Table:
    """A table with one row per name of a model, the largest first."""
    from leaderboards.tables import Cell, Table

    sizes: dict[str, int] = {}
    for each in models:
        sizes[each.name] = sizes.get(each.name, 0) + each.bytes
    ranked = sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = tuple((Cell(name), Cell(_size(size))) for name, size in ranked)
    return Table("", ("model", "size"), rows, frozenset({"model"}), (_total(models),), longest=None)


def _total(models: Sequence[StoredModel]) -> str:
    vectors, size = sum(each.vectors for each in models), sum(each.bytes for each in models)
    return f"{counted(vectors, 'vector')} in {counted(len(models), 'folder')}, {_size(size)} ({size:,} bytes)"


def _size(size: int) -> str:
    from harness.results.numbers import grouped

    unit, name = next((each for each in _UNITS if size >= each[0]), _UNITS[-1])
    return f"{grouped(size / unit, 1)} {name}"
