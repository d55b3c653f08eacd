"""The command `llave export`."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError, counted
from llave.cli.flags import DONE, console, say

if TYPE_CHECKING:
    from harness.results.verified import Record
    from harness.types import ProtocolName

ABOUT = "write results in the form of a public leaderboard, of the hub, or of another project"

_CARD, _HUB, _EVER, _TREC = "model-card", "eval-results", "every-eval-ever", "trec"
FORMATS = ("mmeb", "mmeb-v2", _CARD, _HUB, _EVER, _TREC)
_SUFFIXES = {_CARD: ".md", _HUB: ".yaml", _TREC: ""}


class _Export(NamedTuple):
    """The files of a model by their names below the folder. One file is alone, and may have another name."""

    model: str
    files: Mapping[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave export`."""
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RESULTS", help="results, imported scores, or folders of them")
    add(
        "-f",
        "--format",
        choices=FORMATS,
        default="mmeb",
        help="mmeb: the leaderboard's score file, images only; mmeb-v2: all 78 tasks; model-card: Markdown; "
        "eval-results: the hub's YAML; every-eval-ever: its JSON; trec: runs and qrels",
    )
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write; a folder for several files")
    add("--model", metavar="NAME", help="export only this model (default: all)")
    add(
        "--protocol",
        choices=("official", "strict"),
        help="protocol of the figures (default: official for mmeb and mmeb-v2, else that of the results)",
    )
    add("-s", "--suite", default="mmeb", metavar="SUITE", help="suite whose means a model card has")
    add(
        "--meta",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="add metadata, such as model_size=8.03; may be repeated (default: none)",
    )


def run(options: argparse.Namespace) -> int:
    """Writes the files. Returns the exit status."""
    from harness.files.paths import safe_name
    from harness.files.writing import write_atomic

    _check(options)
    exports = [each for each in _exports(options) if options.model in (None, each.model)]
    models = [each.model for each in exports]
    if not exports:
        raise UserError("There is nothing to export.", "Check --model." if options.model else "Give other results.")
    suffix = _SUFFIXES.get(options.format, ".json")
    folder = len(exports) > 1 or options.output.is_dir() or options.format == _TREC
    if len(set(models)) < len(models) or (folder and suffix and options.output.suffix == suffix):
        raise UserError(f"These are several results: {', '.join(models)}.", "Choose a --model, or a folder as -o.")
    for each in exports:
        for name, text in each.files.items():
            below = safe_name(each.model) if len(exports) > 1 and options.format == _TREC else "."
            path = options.output / below / name if folder else options.output
            write_atomic(path, text)
            say(console(), f"{each.model}: {path}")
    return DONE


def _check(options: argparse.Namespace) -> None:
    """Refuses flags that the chosen format has no use for."""
    if options.meta and options.format in (_CARD, _TREC):
        raise UserError(f"--meta is of no use with --format {options.format}.", "Leave it out.")
    if options.protocol and options.format == _CARD:
        raise UserError("A model card has the protocol of its results.", "Leave out --protocol.")
    if options.protocol == "official" and options.format == _TREC:
        raise UserError("A run holds scores, and no rule for ties.", "Leave out --protocol official.")


def _exports(options: argparse.Namespace) -> Iterator[_Export]:
    from harness.files.paths import safe_name
    from leaderboards.exchange.files import OTHER, imported_files, load_imported, part
    from leaderboards.load import load, was_renamed

    suffix = _SUFFIXES.get(options.format, ".json")
    imported = imported_files(options.results)
    if imported and options.format not in ("mmeb", "mmeb-v2"):
        raise UserError(f"--format {options.format} cannot have imported scores.", "Give results of `llave run`.")
    for path in imported:
        scores = load_imported(path)
        content = dict(scores.content)
        if scores.origin != "mmeb":  # tasks that the public leaderboard does not have stay out
            content["metrics"] = {name: each for name, each in part(content, "metrics").items() if name != OTHER}
        yield _Export(scores.model, {f"{safe_name(scores.model)}.json": _json(content)})
    loaded = load(options.results)
    for warning in loaded.warnings:
        say(console(stderr=True), f"warning: {warning}")
    models: dict[str, list[Record]] = defaultdict(list)
    for record in loaded.records:
        if not was_renamed(record.path):
            models[str(record.result.model["name"])].append(record)
    for model, records in models.items():
        if options.model in (None, model):
            check_one(model, records)
            yield _Export(model, _files(f"{safe_name(model)}{suffix}", records, options))


def _files(name: str, records: Sequence[Record], options: argparse.Namespace) -> Mapping[str, str]:
    """The files of one model in the chosen format, by name."""
    from leaderboards.exchange.eval_results import eval_results
    from leaderboards.exchange.every_eval_ever import every_eval_ever
    from leaderboards.exchange.model_card import model_card
    from leaderboards.submission.mmeb import score_file
    from tasks.suites import find_suite

    rule: ProtocolName | None = options.protocol
    if options.format == _TREC:
        return _runs(records)
    if options.format == _CARD:
        return {name: model_card([each.result for each in records], find_suite(options.suite))}
    if options.format == _HUB:
        return {name: eval_results(records, rule, options.meta)}
    if options.format == _EVER:
        made = every_eval_ever(records, rule, options.meta)
        return {made.place: made.text}
    return {name: _json(score_file(records, rule or "official", options.meta, options.format))}


def _runs(records: Sequence[Record]) -> dict[str, str]:
    """The run and the qrels of each result. What they cannot say is said on stderr."""
    from harness.files.paths import safe_name
    from leaderboards.exchange.trec import QRELS, RUN, trec

    files: dict[str, str] = {}
    for record in records:
        made, name = trec(record), safe_name(record.result.task)
        files |= {f"{name}{RUN}": made.run, f"{name}{QRELS}": made.qrels}
        if made.cut:
            what = f"{record.result.task}: the ties of {counted(made.cut, 'query')} reach past the ten candidates of a"
            say(console(stderr=True), f"warning: {what} run, so the run gives these another score.")
    return files


def check_one(model: str, records: Sequence[Record]) -> None:
    """Raises UserError if a dataset has two results or revisions, since neither can be preferred."""
    tasks = [record.result.task for record in records]
    revisions = {str(record.result.model["revision"]) for record in records}
    if len(revisions) > 1 or len(set(tasks)) < len(tasks):
        what = f"several revisions: {', '.join(sorted(revisions))}" if len(revisions) > 1 else "a dataset twice"
        raise UserError(f"{model} has {what}.", "Give the folder of one revision, with one result per dataset.")


def _json(content: object) -> str:
    return json.dumps(content, indent=4, ensure_ascii=False, allow_nan=False) + "\n"
