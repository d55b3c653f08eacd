"""The command `llave validate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from llave.cli.flags import DONE, FAILED, console, natural, say

ABOUT = "check a folder of results: recompute every score, and find what is missing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave validate`."""
    add = parser.add_argument
    add("submission", type=Path, metavar="DIR", help="folder of results: the --out of `llave run`")
    add("-s", "--suite", default="mmeb", metavar="SUITE", help="suite that the results must cover")
    add("--intervals", action="store_true", help="recompute the confidence intervals too, which is slow")
    add("--most", type=natural, default=50, metavar="N", help="largest number of problems to print")


def run(options: argparse.Namespace) -> int:
    """Prints the problems of a folder of results. Returns 1 if there are any."""
    from leaderboards.submission.validate import validate
    from leaderboards.tables import some
    from tasks.catalog import all_tasks
    from tasks.suites import find_suite

    suite = find_suite(options.suite)
    verdict = validate(options.submission, suite, all_tasks(), intervals=options.intervals)
    screen = console()
    for problem in verdict.problems[: options.most]:
        say(screen, f"{problem.where}: {problem.what}")
    if len(verdict.problems) > options.most:
        say(screen, f"{len(verdict.problems) - options.most} more problems are not shown.")
    if verdict.unchecked:
        what = "files of other settings or of imported scores were not checked"
        say(screen, f"note: {len(verdict.unchecked)} {what}: {some(verdict.unchecked, 3)}.")
    counted = f"{verdict.results} results, {verdict.queries:,} queries"
    if verdict.problems:
        say(screen, f"Not verified: {len(verdict.problems)} problems in {counted}.")
        return FAILED
    say(screen, f"Verified: {counted}. Every score follows from its rows, and no dataset of {suite.name} is missing.")
    return DONE
