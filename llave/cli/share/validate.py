"""The command `llave validate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.errors import counted
from llave.cli.flags import DONE, FAILED, console, natural, say

ABOUT = "check a folder of results: recompute every score, and find what is missing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave validate`."""
    add = parser.add_argument
    add("submission", type=Path, metavar="DIR", help="folder of results, the --out of `llave run`, or a bundle")
    add(
        "-s",
        "--suite",
        metavar="SUITE",
        help="suite that the results must cover (default: the smallest with every task of the results)",
    )
    add("--most", type=natural, default=50, metavar="N", help="largest number of problems to print")


def run(options: argparse.Namespace) -> int:
    """Prints the problems of a folder of results. Returns 1 if there are any."""
    from leaderboards.exchange.bundle import opened
    from leaderboards.submission.validate import validate
    from leaderboards.tables import some
    from tasks.catalog import all_tasks
    from tasks.suites import find_suite

    suite = find_suite(options.suite) if options.suite else None
    verdict = validate(opened(options.submission), all_tasks(), suite)
    screen = console()
    for problem in verdict.problems[: options.most]:
        say(screen, f"{problem.where}: {problem.what}")
    if (more := len(verdict.problems) - options.most) > 0:
        say(screen, f"{counted(more, 'more problem')} not shown.")
    for reason, files in verdict.apart.items():
        say(screen, f"Ignored: {counted(len(files), 'file')} {reason}: {some(files, 3)}.")
    checked = f"{counted(verdict.results, 'result')}, {counted(verdict.queries, 'query')}"
    if verdict.problems:
        say(screen, f"Not verified: {counted(len(verdict.problems), 'problem')} in {checked}.")
        return FAILED
    name = verdict.suite.name if verdict.suite else ""
    complete = f"No dataset of {name} is missing." if name else "They are of no suite, so none can be missing."
    say(screen, f"Verified: {checked}. Every score follows from its rows. {complete}")
    return DONE
