"""`llave validate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from llave.cli.flags import DONE, FAILED, console, natural, say

ABOUT = "check a folder of results: every score from its rows, and nothing missing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("submission", type=Path, metavar="DIR", help="the folder that `llave run` wrote: --out")
    add("--suite", default="mmeb", help="the suite that it is a submission to (mmeb)")
    add("--intervals", action="store_true", help="work out intervals again too: slow")
    add("--most", type=natural, default=50, metavar="N", help="problems that are printed (50)")


def run(options: argparse.Namespace) -> int:
    """`llave validate`."""
    from leaderboards.board.entries import some
    from leaderboards.submission.validate import validate
    from tasks.catalog import all_tasks
    from tasks.suites import find_suite

    suite = find_suite(options.suite)
    verdict = validate(options.submission, suite, all_tasks(), intervals=options.intervals)
    screen = console()
    for problem in verdict.problems[: options.most]:
        say(screen, f"{problem.where}: {problem.what}")
    if len(verdict.problems) > options.most:
        say(screen, f"... and {len(verdict.problems) - options.most} more")
    if verdict.aside:
        what = "not looked at, being answers to other questions or imported scores"
        say(screen, f"note: {len(verdict.aside)} files were {what}: {some(verdict.aside, 3)}.")
    counted = f"{verdict.results} results, {verdict.queries:,} queries"
    if verdict.problems:
        say(screen, f"Not verified: {len(verdict.problems)} problems in {counted}.")
        return FAILED
    say(screen, f"Verified: {counted}; every score follows from its rows, and all of {suite.name} is there.")
    return DONE
