"""What the commands of analyses share: the format of the output, and the results that they read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from llave.cli.flags import console, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaderboards.analysis.report import Report
    from leaderboards.board.entries import Entry

FORMATS = ("terminal", "markdown", "json")


def add_report_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that choose the form of a report, and save it."""
    parser.add_argument(
        "-f",
        "--format",
        choices=FORMATS,
        default="terminal",
        help="format of the output; json holds all figures",
    )

    parser.add_argument(
        "--save",
        type=_json_file,
        metavar="FILE",
        help="also write all figures as JSON; in a folder of results the page shows them (default: none)",
    )


def _json_file(text: str) -> Path:
    """A path for `--save`. Raises ArgumentTypeError for another ending, by which a page would not find the file."""
    if not text.endswith(".json"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end with .json")
    return Path(text)


def warn(warnings: Sequence[str]) -> None:
    """Says what cannot be used."""
    for warning in warnings:
        say(console(stderr=True), f"warning: {warning}")


def measured_entries(places: Sequence[Path]) -> list[Entry]:
    """The models of results, after warnings of what is left out. Raises UserError for a metric that is a rank."""
    from leaderboards.analysis.paired import check_fraction
    from leaderboards.board.entries import comparable, measured
    from leaderboards.load import load

    loaded = load(places)
    chosen = comparable(loaded.records, mix=False)
    warn([*loaded.warnings, *chosen.notes])
    entries = measured(chosen.records)
    for entry in entries:
        check_fraction({task: record.result.main_metric for task, record in entry.records.items()})
    return entries


def print_report(report: Report, options: argparse.Namespace) -> None:
    """Prints a report in the chosen form, and saves it if that is asked for."""
    from harness.files.writing import write_atomic
    from leaderboards.analysis.report import report_json
    from leaderboards.tables import markdown, markdown_text

    form = options.format
    if options.save:
        write_atomic(options.save, report_json(report))
        say(console(stderr=True), f"Saved: {options.save}")
    if form == "json":
        print(report_json(report), end="")
        return
    screen = console(wide=True)
    for table in report.tables:
        if form == "terminal":
            screen.print(table)
        else:
            print(markdown(table))
    for sentence in report.sentences:
        if form == "terminal":
            say(screen, sentence)
        else:
            print(f"{markdown_text(sentence)}\n")
