"""The command `llave agree`."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.files.paths import RESULTS
from llave.cli.analysis.output import add_report_flags, print_report, warn
from llave.cli.flags import DONE, natural

ABOUT = "show how far models agree on which queries are hard, and what all get wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `llave agree`."""
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="a folder or file of results, or a model or checkpoint with results; two or more",
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR", help="folder with the results of models and checkpoints"
    )
    parser.add_argument(
        "--queries", type=natural, default=20, metavar="N", help="show N queries that all models get wrong"
    )
    add_report_flags(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the agreement of all pairs of models, and the queries that all of them get wrong."""
    from leaderboards.analysis.agreement import agreement, agreement_report
    from leaderboards.compare.resolve import resolve_models

    given = resolve_models(options.models, options.results)
    warn(given.warnings)
    print_report(agreement_report(agreement(given.entries), options.queries), options)
    return DONE
