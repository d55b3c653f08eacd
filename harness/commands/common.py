"""What the commands share: where they print, and what a flag may hold."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, USER_ERROR, STOPPED = 0, 1, 2, 130


def console(*, stderr: bool = False, quiet: bool = False, wide: bool = False) -> Console:
    """Away from a terminal nothing is cut to 80 columns, and a `wide` table is as wide as it needs."""
    from rich.console import Console

    measured = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
    width = None if measured else 10_000 if wide else 160
    return Console(stderr=stderr, quiet=quiet, width=width, highlight=False)


def say(where: Console, text: str) -> None:
    """Prints a sentence as it is, whatever brackets it has."""
    where.print(text, markup=False, soft_wrap=True)


def complain(error: UserError) -> None:
    """Prints what is wrong and what to do, and of several processes which one says so."""
    who = f" (process {os.environ.get('RANK')})" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
    print(f"error{who}: {error.what}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}".replace("\n", "\n  "), file=sys.stderr)


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    value = natural(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def natural(text: str) -> int:
    """A whole number from 0, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def model_options(pairs: Sequence[str]) -> Mapping[str, str]:
    """What `--model-option KEY=VALUE`, given once or more, says. Raises UserError for anything else."""
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise UserError(f"--model-option {pair!r} is not of the form KEY=VALUE.", "Such as max_length=2048.")
        if key in options:
            raise UserError(f"--model-option gives {key} twice.", "Give it once.")
        options[key] = value
    return options
