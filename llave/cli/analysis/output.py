"""What the commands of analyses share: the format of the output, and the results that they read."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from llave.cli.flags import console, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leaderboards.analysis.report import Report

FORMATS = ("terminal", "markdown", "json")


def add_format_flag(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that chooses the form of a report."""
    parser.add_argument(
        "-f",
        "--format",
        choices=FORMATS,
        default="terminal",
        help="format of the output; json holds all figures",
    )


def warn(warnings: Sequence[str]) -> None:
    """Says what cannot be used."""
    for warning in warnings:
        say(console(stderr=True), f"warning: {warning}")


def print_report(report: Report, form: str) -> None:
    """Prints a report in the chosen form."""
    from leaderboards.analysis.report import report_json
    from leaderboards.tables import markdown, markdown_text

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
