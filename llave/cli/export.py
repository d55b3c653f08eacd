"""The command `llave export`."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from llave.cli.flags import DONE, console, say

if TYPE_CHECKING:
    from harness.results.verified import Record

ABOUT = "write results as a score file of the public MMEB leaderboard, or for a model card"

_CARD = "model-card"


class _Export(NamedTuple):
    model: str
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave export`."""
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RESULTS", help="results, imported scores, or folders of them")
    add(
        "-f",
        "--format",
        choices=("mmeb", "mmeb-v2", "model-card"),
        default="mmeb",
        help="mmeb: the leaderboard's score file, images only; mmeb-v2: all 78 tasks; model-card: Markdown",
    )
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write; a folder for several models")
    add("--model", metavar="NAME", help="export only this model (default: all)")
    add(
        "--protocol",
        choices=("official", "strict"),
        default="official",
        help="protocol of the score file's figures",
    )
    add("-s", "--suite", default="mmeb", metavar="SUITE", help="suite whose means a model card has")
    add(
        "--meta",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="add metadata to the score file, such as model_size=8.03; may be repeated (default: none)",
    )


def run(options: argparse.Namespace) -> int:
    """Writes the files. Returns the exit status."""
    from harness.files.paths import safe_name
    from harness.files.writing import write_atomic

    exports = [each for each in _exports(options) if options.model in (None, each.model)]
    models = [each.model for each in exports]
    if not exports:
        raise UserError("There is nothing to export.", "Check --model." if options.model else "Give other results.")
    suffix = ".md" if options.format == _CARD else ".json"
    folder = len(exports) > 1 or options.output.is_dir()
    if len(set(models)) < len(models) or (folder and options.output.suffix == suffix):
        raise UserError(f"These are several results: {', '.join(models)}.", "Choose a --model, or a folder as -o.")
    for each in exports:
        path = options.output / f"{safe_name(each.model)}{suffix}" if folder else options.output
        write_atomic(path, each.text)
        say(console(), f"{each.model}: {path}")
    return DONE


def _exports(options: argparse.Namespace) -> Iterator[_Export]:
    from leaderboards.exchange.files import imported_files, load_imported
    from leaderboards.exchange.model_card import model_card
    from leaderboards.load import load, was_renamed
    from leaderboards.submission.mmeb import score_file
    from tasks.suites import find_suite

    imported = imported_files(options.results)
    if imported and options.format == _CARD:
        raise UserError("A model card cannot have imported scores.", "Give results of `llave run`.")
    for path in imported:
        scores = load_imported(path)
        yield _Export(scores.model, _json(scores.content))
    loaded = load(options.results)
    for warning in loaded.warnings:
        say(console(stderr=True), f"warning: {warning}")
    models: dict[str, list[Record]] = defaultdict(list)
    for record in loaded.records:
        if not was_renamed(record.path):
            models[str(record.result.model["name"])].append(record)
    for model, records in models.items():
        if options.model in (None, model):
            _check_one(model, records)
            if options.format != _CARD:
                yield _Export(model, _json(score_file(records, options.protocol, options.meta, options.format)))
            else:
                yield _Export(model, model_card([each.result for each in records], find_suite(options.suite)))


def _check_one(model: str, records: list[Record]) -> None:
    """Raises UserError if a dataset has two results or revisions, since neither can be preferred."""
    tasks = [record.result.task for record in records]
    revisions = {str(record.result.model["revision"]) for record in records}
    if len(revisions) > 1 or len(set(tasks)) < len(tasks):
        what = f"several revisions: {', '.join(sorted(revisions))}" if len(revisions) > 1 else "a dataset twice"
        raise UserError(f"{model} has {what}.", "Give the folder of one revision, with one result per dataset.")


def _json(content: object) -> str:
    return json.dumps(content, indent=4, ensure_ascii=False, allow_nan=False) + "\n"
